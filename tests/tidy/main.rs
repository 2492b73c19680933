//! The house rules, checked on the checkout: who may use whom, what a file must and must not hold, and what lies where.
//! A failing test names each place and says what to do about it.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod checkout;
mod source;

use std::collections::BTreeSet;
use std::path::Path;

use proc_macro2::TokenTree;

use checkout::{dependencies, documents, links, root, tracked_files};
use source::{Source, is_module, is_punct, is_word, sources, visit};

/// Which module may use which. `*`: anything. One that is not listed may use nothing of ours.
const LAYERS: &[(&str, &[&str])] = &[
    ("ring", &[]),
    ("shutdown", &[]),
    ("telemetry", &["tls"]),
    ("figure", &[]),
    ("api", &[]),
    ("model", &["ring"]),
    ("tls", &["model"]),
    ("plan", &["model"]),
    ("backend", &["model"]),
    ("routes", &["model", "ring", "tls"]),
    ("controller", &["api", "model", "plan", "routes", "backend", "shutdown", "ring", "tls"]),
    ("proxy", &["model", "ring", "routes", "shutdown", "tls"]),
    ("admin", &["model", "ring", "routes", "shutdown", "tls"]),
    ("fuzzing", &["api", "controller", "model", "proxy"]),
    ("args", &["*"]),
    ("commands", &["*"]),
    ("main", &["*"]),
    ("lib", &["*"]),
];

/// Crates that only these places may use: a file without its `.rs`, with everything in the folder of its name.
const CRATES: &[(&[&str], &[&str])] = &[
    (
        &["kube", "k8s_openapi"],
        &[
            "api",
            "controller/manifest",
            "controller/template",
            "controller/validate",
            "controller/kubernetes",
            "controller/leader",
            "controller/status",
            "backend/kubernetes",
            "commands/operator",
        ],
    ),
    (&["axum"], &["admin"]),
    (&["opentelemetry_otlp", "opentelemetry_http", "hyper_rustls"], &["telemetry/traces"]),
    (&["opentelemetry", "opentelemetry_sdk"], &["telemetry/traces", "proxy"]),
    (&["hyper", "hyper_util"], &["proxy", "admin", "backend/probe", "controller/kubernetes/proxies"]),
    (&["h2"], &["proxy"]),
    (&["rustls"], &["tls", "proxy/handshake"]),
    (&["tokio_rustls"], &["proxy/handshake", "proxy/pool", "proxy/replica_stream"]),
    (&["notify"], &["controller/standalone"]),
    (&["bollard"], &["backend/docker"]),
    (&["anyhow"], &["main", "commands"]),
];

/// Modules that know no clock, network, randomness, log or Kubernetes.
const CORE: &[&str] = &["ring", "model", "plan"];
/// All that the core may use of others.
const CORE_CRATES: &[&str] =
    &["crc32fast", "http", "jiff", "proptest", "serde", "serde_json", "siphasher", "thiserror", "xxhash_rust"];
/// What the core must not use of what it may use.
const CORE_DENIED: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "jiff::Zoned::now",
    "jiff::Timestamp::now",
    "Timestamp::now",
    "Zoned::now",
];

/// Everything that may lie at the top, besides dot files.
const TOP_LEVEL: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "benches",
    "charts",
    "clippy.toml",
    "deploy",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "server",
    "src",
    "tests",
];

/// Every tree of Rust code.
const ALL: &[&str] = &["src", "server/src", "tests", "server/tests", "benches"];

/// Code of one file, without its tests.
const LONGEST_FILE: usize = 400;

// === the rules ===

#[test]
fn modules_use_only_what_their_layer_may() {
    let mut wrong = BTreeSet::new();
    for source in sources(&["src"]) {
        let module = source.place().split('/').next().unwrap().to_owned();
        let may_use = LAYERS.iter().find(|(name, _)| *name == module).map_or(&[][..], |(_, may_use)| may_use);
        for used in source.uses().iter().filter(|used| used[0] == "crate") {
            let Some(other) = used.get(1).filter(|other| **other != module) else { continue };
            if is_module(other) && !may_use.contains(&"*") && !may_use.contains(&other.as_str()) {
                wrong.insert(format!("{}: uses {}: {module} may use {may_use:?}", source.path, used.join("::")));
            }
        }
    }
    fail_on(wrong, "move the code to the layer that may use this, or pass in what is needed; LAYERS has the table");
}

#[test]
fn every_module_of_the_crate_is_in_the_layer_table() {
    let listed = |place: &&str| LAYERS.iter().any(|(name, _)| name == place);
    let modules = sources(&["src"]);
    let top: BTreeSet<_> = modules.iter().map(Source::place).filter(|place| !place.contains('/')).collect();
    fail_on(top.into_iter().filter(|place| !listed(place)), "give the new module its line in LAYERS and in DESIGN.md");
}

#[test]
fn outside_crates_stay_where_they_belong() {
    let mut wrong = BTreeSet::new();
    for source in sources(&["src"]) {
        for used in source.uses() {
            for (crates, places) in CRATES.iter().filter(|(crates, _)| crates.contains(&used[0].as_str())) {
                if !places.iter().any(|place| source.lies_in(place)) {
                    wrong.insert(format!("{}: uses {}: {crates:?} belong to {places:?}", source.path, used.join("::")));
                }
            }
        }
    }
    fail_on(wrong, "hide the crate behind a type of ours there, and use that here");
}

#[test]
fn the_core_is_pure() {
    let dependencies = dependencies();
    let mut wrong = BTreeSet::new();
    for source in sources(&["src"]).iter().filter(|source| CORE.iter().any(|module| source.lies_in(module))) {
        for used in source.uses() {
            let name = used.join("::");
            let is_foreign = dependencies.contains(&used[0]) && !CORE_CRATES.contains(&used[0].as_str());
            let is_denied = |denied: &&str| name == *denied || name.starts_with(&format!("{denied}::"));
            if is_foreign || CORE_DENIED.iter().any(is_denied) {
                wrong.insert(format!("{}: uses {name}", source.path));
            }
        }
    }
    fail_on(wrong, "give the core time, randomness and what others said as arguments, and let it return what to do");
}

#[test]
fn every_file_says_why_it_exists() {
    let silent = sources(ALL).into_iter().filter(|source| !source.text.starts_with("//!")).map(|source| source.path);
    fail_on(silent, "begin the file with a `//!` comment on why it exists");
}

#[test]
fn no_file_is_called_mod_rs() {
    let found = sources(ALL).into_iter().map(|source| source.path).filter(|path| path.ends_with("/mod.rs"));
    fail_on(found, "name the file after its module and put it beside the module's folder");
}

#[test]
fn every_file_belongs_to_a_target() {
    let sources = sources(ALL);
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<&Source> = sources.iter().filter(|source| source.is_root()).collect();
    while let Some(source) = waiting.pop() {
        if reached.insert(&source.path) {
            let children = source.declared_files();
            waiting.extend(sources.iter().filter(|child| children.contains(&child.path)));
        }
    }
    let orphans = sources.iter().map(|source| &source.path).filter(|path| !reached.contains(path));
    fail_on(orphans, "declare the file with `mod` in its parent, or remove it");
}

#[test]
fn files_stay_short() {
    let mut long = Vec::new();
    for source in sources(&["src", "server/src", "tests/cluster/src", "benches"])
        .iter()
        .filter(|source| !source.place().ends_with("/tests"))
    {
        let lines = source.lines_without_tests();
        if lines > LONGEST_FILE {
            long.push(format!("{}: {lines} lines without tests, at most {LONGEST_FILE}", source.path));
        }
    }
    fail_on(long, "split the file at the noun or decision that it has grown");
}

#[test]
fn nothing_unfinished_lands() {
    let mut wrong = BTreeSet::new();
    for source in sources(ALL) {
        visit(&source.tokens, &mut |tokens| {
            for (index, token) in tokens.iter().enumerate() {
                let is_macro = is_punct(tokens.get(index + 1), '!') && !is_punct(tokens.get(index + 2), '=');
                if is_macro && ["todo", "unimplemented", "dbg"].iter().any(|name| is_word(Some(token), name)) {
                    wrong.insert(format!("{}: {token}!", source.path));
                }
            }
        });
    }
    fail_on(wrong, "finish it, or return an error that says what is missing");
}

#[test]
fn no_test_is_ignored() {
    let mut wrong = BTreeSet::new();
    for source in sources(ALL) {
        visit(&source.tokens, &mut |tokens| {
            for pair in tokens.windows(2).filter(|pair| is_punct(pair.first(), '#')) {
                if let TokenTree::Group(attribute) = &pair[1] {
                    let mut words = attribute.stream().to_string();
                    words.retain(|letter| !letter.is_whitespace());
                    if words == "ignore" || words.starts_with("ignore=") || words.ends_with(",ignore)") {
                        wrong.insert(source.path.clone());
                    }
                }
            }
        });
    }
    fail_on(wrong, "make the test fit to run always, or remove it");
}

#[test]
fn no_test_sleeps_and_hopes() {
    let mut wrong = BTreeSet::new();
    for source in sources(&["src", "server/src", "tests", "server/tests"]).iter().filter(|source| source.is_test()) {
        visit(&source.tokens, &mut |tokens| {
            for pair in tokens.windows(2).filter(|pair| is_word(pair.first(), "sleep")) {
                if let TokenTree::Group(arguments) = &pair[1] {
                    let arguments = arguments.stream().to_string().replace(' ', "");
                    if seconds(&arguments).is_some_and(|seconds| seconds >= 1.0) {
                        wrong.insert(format!("{}: sleep({arguments})", source.path));
                    }
                }
            }
        });
    }
    fail_on(wrong, "wait for the condition with a deadline instead, or pause the clock");
}

#[test]
#[expect(clippy::print_stderr, reason = "says why it was skipped")]
fn the_top_level_is_fixed() {
    let Some(files) = tracked_files() else {
        return eprintln!("skipped: this is no git checkout, and what is tracked can't be known");
    };
    let top: BTreeSet<&str> = files.iter().map(|file| file.split('/').next().unwrap()).collect();
    let extra = top.into_iter().filter(|entry| !entry.starts_with('.') && !TOP_LEVEL.contains(entry));
    fail_on(extra, "put it into one of the folders that exist (DESIGN.md, Layout)");
}

#[test]
#[expect(clippy::print_stderr, reason = "says why it was skipped")]
fn every_make_target_has_a_help_text() {
    let Ok(makefile) = std::fs::read_to_string(root().join("Makefile")) else {
        return eprintln!("skipped: there is no Makefile yet");
    };
    let is_command = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let silent = makefile.lines().filter(|line| {
        let target = line.split_once(':').filter(|(_, rest)| !rest.starts_with(['=', ':']));
        target.is_some_and(|(name, rest)| !name.is_empty() && is_command(name) && !rest.contains("## "))
    });
    fail_on(silent, "add `## what it does` behind the target's prerequisites; `make help` shows it");
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let mut broken = BTreeSet::new();
    for document in documents() {
        let text = std::fs::read_to_string(root().join(&document)).unwrap();
        for link in links(&text) {
            let target = link.split(['#', '?']).next().unwrap().replace("%20", " ");
            let folder = Path::new(&document).parent().unwrap();
            let path =
                target.strip_prefix('/').map_or_else(|| root().join(folder).join(&target), |top| root().join(top));
            if !target.is_empty() && !path.exists() {
                broken.insert(format!("{document}: ({link})"));
            }
        }
    }
    fail_on(broken, "correct the link, relative to its document, or remove it");
}

/// How long `Duration::from_…(N)` is, for a literal N.
fn seconds(arguments: &str) -> Option<f64> {
    let (unit, number) = arguments.split_once("from_")?.1.split_once('(')?;
    let number = number.split_once(')')?.0.replace('_', "");
    let digits = number.trim_end_matches(|letter: char| letter.is_ascii_alphabetic()).parse::<f64>().ok()?;
    let scale = match unit {
        "nanos" => 1e-9,
        "micros" => 1e-6,
        "millis" => 1e-3,
        "mins" => 60.0,
        "hours" => 3_600.0,
        _ => 1.0,
    };
    Some(digits * scale)
}

fn fail_on(places: impl IntoIterator<Item = impl std::fmt::Display>, advice: &str) {
    let places: Vec<String> = places.into_iter().map(|place| format!("\n  {place}")).collect();
    assert!(places.is_empty(), "{}\n{advice}", places.concat());
}
