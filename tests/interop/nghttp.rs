//! nghttp: what it reads from our frames, with windows and padding that others rarely choose.

use crate::programs::run;
use crate::served::Served;

#[tokio::test]
async fn streams_of_one_connection_are_answered() {
    for served in Served::both().await {
        let urls = [served.url("/home"), served.url("/bytes?n=200000"), served.url("/status/404")];
        let args = ["--verbose", "--null-out", "--stat", "--header=x-user-id: ada"];
        let said = run("nghttp", args.into_iter().chain(urls.iter().map(String::as_str))).await.well();
        assert_eq!(said.matches("Connected").count(), 1, "{said}");
        if served.is_secured() {
            assert!(said.contains("The negotiated protocol: h2"), "{said}");
        }
        let count = |text: &str| said.matches(text).count();
        assert_eq!((count(":status: 200"), count(":status: 404")), (2, 1), "{said}");
        assert!(count("recv RST_STREAM") == 0 && count("recv GOAWAY") == 0, "{said}");
        // Of the table at the end: code, size and path.
        let table: Vec<_> = said.lines().rev().take_while(|line| !line.starts_with("id ")).collect();
        for (code, size, path) in [("200", "195K", "/bytes?n=200000"), ("404", "14", "/status/404")] {
            let row = table.iter().find(|line| line.ends_with(path)).expect(&said);
            let cells: Vec<_> = row.split_whitespace().collect();
            assert_eq!(cells[cells.len() - 3..], [code, size, path], "{said}");
        }
    }
}

#[tokio::test]
async fn small_windows_padding_and_trailers_leave_the_body_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body");
    let body: String = (0..40_000).map(|number| format!("{number}\n")).collect();
    std::fs::write(&file, &body).unwrap();
    let file = file.to_str().unwrap();
    for served in Served::both().await {
        // Windows of 1 KiB a stream and 64 KiB a connection; up to 200 bytes of padding on every frame.
        let args = ["--window-bits=10", "--connection-window-bits=16", "--padding=200", "--trailer=x-sum: 1", "--data"];
        let url = served.url("/echo");
        let said = run("nghttp", args.into_iter().chain([file, &url])).await.well();
        assert!(said == body, "{} of {} bytes", said.len(), body.len());
    }
}
