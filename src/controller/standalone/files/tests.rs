//! What of the files is noticed, and what they declare.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

/// Longer than any change takes to be noticed.
const PATIENCE: Duration = Duration::from_secs(20);

fn yaml(name: &str, replicas: u16) -> String {
    format!(
        "apiVersion: ringhold.dev/v1alpha1\nkind: LoadBalancer\nmetadata: {{name: {name}}}\nspec: {{replicas: \
         {replicas}, template: {{spec: {{containers: [{{name: server}}]}}}}}}\n"
    )
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// File names, LoadBalancers and sizes.
fn declared(loaded: &Loaded) -> Vec<(String, String, i32)> {
    let show = |(file, resource): &(PathBuf, LoadBalancer)| {
        let name = resource.metadata.name.clone().unwrap();
        (file.file_name().unwrap().to_str().unwrap().to_owned(), name, resource.spec.replicas)
    };
    loaded.declared.iter().map(show).collect()
}

fn problems(loaded: &Loaded) -> Vec<String> {
    loaded.problems.iter().map(|(_, problem)| problem.to_string()).collect()
}

fn of(file: &str, name: &str, replicas: i32) -> (String, String, i32) {
    (file.to_owned(), name.to_owned(), replicas)
}

/// Waits for a change, giving up waiting again and again as the driver does.
async fn changed(files: &mut Files) {
    let deadline = Instant::now() + PATIENCE;
    while tokio::time::timeout(Duration::from_millis(20), files.changed()).await.is_err() {
        assert!(Instant::now() < deadline, "no change is noticed");
    }
}

/// Touches a file all the time until it is dropped.
fn write_steadily(file: PathBuf) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            fs::write(&file, yaml("web", 3)).unwrap();
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    })
}

#[tokio::test]
async fn other_files_of_the_folder_neither_wake_nor_delay() {
    let folder = folder(&[("web.yaml", &yaml("web", 1))]);
    let file = folder.path().join("web.yaml");
    for listed in [file.clone(), folder.path().to_owned()] {
        let mut files = Files::watch(&[listed]).unwrap();
        files.load();
        let writer = write_steadily(folder.path().join("out.log"));
        assert!(
            tokio::time::timeout(Duration::from_millis(700), files.changed()).await.is_err(),
            "a log is no manifest"
        );
        fs::write(&file, yaml("web", 2)).unwrap();
        changed(&mut files).await;
        writer.abort();
    }
}

#[tokio::test]
async fn a_file_that_is_written_without_end_is_read_all_the_same() {
    let folder = folder(&[("web.yaml", &yaml("web", 1))]);
    let mut files = Files::watch(&[folder.path().to_owned()]).unwrap();
    files.load();
    let writer = write_steadily(folder.path().join("web.yaml"));
    changed(&mut files).await;
    writer.abort();
}

#[tokio::test]
async fn a_file_of_a_folder_may_be_away_for_a_moment() {
    let folder = folder(&[("web.yaml", &yaml("web", 1))]);
    let (file, away) = (folder.path().join("web.yaml"), folder.path().join("away"));
    let mut files = Files::watch(&[folder.path().to_owned()]).unwrap();
    files.load();
    fs::rename(&file, &away).unwrap();
    let gone = Instant::now();
    changed(&mut files).await;
    assert!(gone.elapsed() >= MISSING, "it had {:?}", gone.elapsed());
    assert_eq!(declared(&files.load()), []);
    fs::rename(&away, &file).unwrap();
    changed(&mut files).await;
    assert_eq!(declared(&files.load()), [of("web.yaml", "web", 1)]);
}

#[tokio::test]
async fn a_change_behind_a_symbolic_link_is_noticed() {
    let (folder, elsewhere) = (folder(&[]), folder(&[("real.yaml", &yaml("web", 1))]));
    symlink(elsewhere.path().join("real.yaml"), folder.path().join("web.yaml")).unwrap();
    for listed in [folder.path().join("web.yaml"), folder.path().to_owned()] {
        let mut files = Files::watch(&[listed]).unwrap();
        files.load();
        fs::write(elsewhere.path().join("real.yaml"), yaml("web", 12)).unwrap();
        changed(&mut files).await;
        assert_eq!(declared(&files.load()), [of("web.yaml", "web", 12)]);
        fs::write(elsewhere.path().join("real.yaml"), yaml("web", 1)).unwrap();
    }
}

#[tokio::test]
async fn a_swapped_link_to_the_data_is_noticed() {
    let folder = folder(&[]);
    for (data, replicas) in [("one", 1), ("two", 2)] {
        fs::create_dir(folder.path().join(data)).unwrap();
        fs::write(folder.path().join(data).join("web.yaml"), yaml("web", replicas)).unwrap();
    }
    symlink("one", folder.path().join("..data")).unwrap();
    symlink("..data/web.yaml", folder.path().join("web.yaml")).unwrap();
    let mut files = Files::watch(&[folder.path().to_owned()]).unwrap();
    assert_eq!(declared(&files.load()), [of("web.yaml", "web", 1)]);
    symlink("two", folder.path().join("..next")).unwrap();
    fs::rename(folder.path().join("..next"), folder.path().join("..data")).unwrap();
    changed(&mut files).await;
    assert_eq!(declared(&files.load()), [of("web.yaml", "web", 2)]);
}

#[tokio::test]
async fn a_folder_that_takes_anothers_place_is_watched_from_then_on() {
    let top = folder(&[]);
    let (folder, next) = (top.path().join("fleets"), top.path().join("next"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("web.yaml"), yaml("web", 1)).unwrap();
    let mut files = Files::watch(std::slice::from_ref(&folder)).unwrap();
    files.load();
    fs::create_dir(&next).unwrap();
    fs::write(next.join("web.yaml"), yaml("web", 2)).unwrap();
    fs::rename(&folder, top.path().join("old")).unwrap();
    fs::rename(&next, &folder).unwrap();
    changed(&mut files).await;
    assert_eq!(declared(&files.load()), [of("web.yaml", "web", 2)]);

    while files.watch.renew() {}
    files.watch.forget();
    fs::write(folder.join("web.yaml"), yaml("web", 3)).unwrap();
    tokio::time::timeout(PATIENCE, files.watch.event()).await.unwrap();
}

#[test]
fn a_folder_that_cannot_be_read_keeps_what_came_from_it() {
    let loop_ = folder(&[]);
    let (link, good) = (loop_.path().join("fleets"), folder(&[("web.yaml", &yaml("web", 1))]));
    symlink(good.path(), &link).unwrap();
    let mut files = Files::watch(std::slice::from_ref(&link)).unwrap();
    files.load();
    // A link to itself fails with something other than "not found", for root too.
    fs::remove_file(&link).unwrap();
    symlink(&link, &link).unwrap();
    for _ in 0..2 {
        let loaded = files.load();
        assert_eq!(loaded.declared, []);
        assert_eq!(loaded.unreadable, BTreeSet::from([link.join("web.yaml")]));
        let [problem] = &problems(&loaded)[..] else { panic!("{loaded:#?}") };
        assert!(problem.starts_with(&format!("{}: can't be read: ", link.display())), "{problem}");
    }
}

#[test]
fn a_stray_copy_takes_nothing_over() {
    let folder = folder(&[("web.yaml", &yaml("web", 1))]);
    let [copy, web] = ["a.yaml", "web.yaml"].map(|name| folder.path().join(name));
    let mut files = Files::watch(&[folder.path().to_owned()]).unwrap();
    files.load();
    let twice = format!(
        "{}: metadata.name: web: declared in {} already; choose another name or remove one",
        copy.display(),
        web.display()
    );

    fs::write(&copy, yaml("web", 2)).unwrap();
    let loaded = files.load();
    assert_eq!((declared(&loaded), problems(&loaded)), (vec![of("web.yaml", "web", 1)], vec![twice.clone()]));

    fs::write(&web, "replicas: [").unwrap();
    let loaded = files.load();
    assert_eq!((&loaded.declared[..], &loaded.unreadable), (&[][..], &BTreeSet::from([web.clone()])));
    assert_eq!(problems(&loaded).last(), Some(&twice));

    fs::remove_file(&web).unwrap();
    assert_eq!(declared(&files.load()), [of("a.yaml", "web", 2)]);
}

#[test]
fn the_default_namespace_is_the_one_that_is_not_named() {
    let named = yaml("web", 2).replace("{name: web}", "{name: web, namespace: default}");
    let other = yaml("web", 3).replace("{name: web}", "{name: web, namespace: other}");
    let folder = folder(&[("a.yaml", &yaml("web", 1)), ("b.yaml", &named), ("c.yaml", &other)]);
    let loaded = Files::watch(&[folder.path().to_owned()]).unwrap().load();
    assert_eq!(declared(&loaded), [of("a.yaml", "web", 1), of("c.yaml", "web", 3)]);
    assert_eq!(loaded.problems.len(), 1);
}

#[test]
fn a_file_that_two_paths_lead_to_is_one_file() {
    let folder = folder(&[("web.yaml", &yaml("web", 1))]);
    let file = folder.path().join("web.yaml");
    let loaded = Files::watch(&[folder.path().to_owned(), file.clone(), file]).unwrap().load();
    assert_eq!((declared(&loaded), problems(&loaded)), (vec![of("web.yaml", "web", 1)], vec![]));
}
