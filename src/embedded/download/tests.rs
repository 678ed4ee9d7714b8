//! Downloads from a server that misbehaves as told.

use super::*;
use crate::embedded::News;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

const PAUSES: &[Duration] = &[Duration::from_millis(1), Duration::from_millis(1)];

/// What the server sends to one connection; the last one is repeated.
#[derive(Clone)]
enum Reply {
    /// The file from the byte that was asked for, with 206; all of it when none was.
    Ranged(Vec<u8>),
    /// As `Ranged`, but the connection ends after so many bytes of the body.
    Cut(Vec<u8>, usize),
    /// 200 and all of it, whatever was asked for.
    Whole(Vec<u8>),
    /// A status without a body.
    Status(u16),
}

/// A server on loopback and the first bytes of the ranges it was asked for (`None`: the whole file).
struct Served {
    url: String,
    asked: Arc<Mutex<Vec<Option<usize>>>>,
}

impl Served {
    async fn with(replies: &[Reply]) -> Served {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/file.jar", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (replies, log) = (replies.to_vec(), asked.clone());
        tokio::spawn(async move {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(connection.read_u8().await.unwrap());
                }
                let request = String::from_utf8(request).unwrap().to_lowercase();
                let range = request.lines().find_map(|line| line.strip_prefix("range: bytes="));
                let first = range.map(|range| range.strip_suffix('-').unwrap().parse().unwrap());
                let turn = log.lock().unwrap().len();
                log.lock().unwrap().push(first);
                let reply = &replies[turn.min(replies.len() - 1)];
                connection.write_all(&reply.bytes(first)).await.unwrap();
            }
        });
        Served { url, asked }
    }

    fn asked(&self) -> Vec<Option<usize>> {
        self.asked.lock().unwrap().clone()
    }
}

impl Reply {
    fn bytes(&self, first: Option<usize>) -> Vec<u8> {
        let (file, sent) = match self {
            Reply::Status(status) => {
                return format!("HTTP/1.1 {status} Said\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").into();
            }
            Reply::Whole(file) | Reply::Ranged(file) => (file, file.len()),
            Reply::Cut(file, sent) => (file, *sent),
        };
        let (status, from) = match (self, first) {
            (Reply::Whole(_), _) | (_, None) => ("200 OK".to_string(), 0),
            (_, Some(first)) if first >= file.len() => return Reply::Status(416).bytes(None),
            (_, Some(first)) => {
                let (last, all) = (file.len() - 1, file.len());
                (format!("206 Partial Content\r\ncontent-range: bytes {first}-{last}/{all}"), first)
            }
        };
        let body = &file[from..];
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        [head.as_bytes(), &body[..sent.min(body.len())]].concat()
    }
}

fn file() -> Vec<u8> {
    (0..300_000_u32).map(|n| (n % 251) as u8).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn part(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("file.part")
}

/// Fetches [`file`] and answers what was told as well.
async fn fetch(url: &str, part: &Path) -> (Result<Vec<u8>>, Vec<String>) {
    let told = Mutex::new(Vec::new());
    let (name, url, part) = ("the file".to_string(), url.to_string(), part.to_path_buf());
    let download = Download { name, url, part, sha256: sha256(&file()), pauses: PAUSES };
    let say = |news: News<'_>| {
        told.lock().unwrap().push(match news {
            News::Line(line) => line.to_string(),
            News::Fetched { bytes, total, .. } => format!("{bytes}/{}", total.unwrap()),
        });
    };
    let fetched = download.bytes(&say).await;
    (fetched, told.into_inner().unwrap())
}

#[tokio::test]
async fn a_file_arrives_whole_and_tells_how_far_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::with(&[Reply::Ranged(file())]).await;
    let (fetched, told) = fetch(&served.url, &part(&folder)).await;
    assert_eq!(fetched.unwrap(), file());
    assert_eq!(served.asked(), [None]);
    assert_eq!((told[0].as_str(), told.last().unwrap().as_str()), ("0/300000", "300000/300000"));
}

#[tokio::test]
async fn after_a_cut_only_the_rest_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::with(&[
        Reply::Cut(file(), 100_000),
        Reply::Status(503),
        Reply::Cut(file(), 50_000),
        Reply::Ranged(file()),
    ])
    .await;
    // Two pauses are three tries: this run gives up with half of the file, the next one goes on from there.
    let (failed, _) = fetch(&served.url, &part(&folder)).await;
    assert_eq!(failed.unwrap_err().to_string(), "fetching the file: the connection was cut");
    assert_eq!(std::fs::read(part(&folder)).unwrap(), file()[..150_000]);
    let (fetched, told) = fetch(&served.url, &part(&folder)).await;
    assert_eq!(fetched.unwrap(), file());
    assert_eq!(served.asked(), [None, Some(100_000), Some(100_000), Some(150_000)]);
    assert_eq!(told[0], "150000/300000");
}

#[tokio::test]
async fn a_server_without_ranges_sends_it_all_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(part(&folder), &file()[..7]).unwrap();
    let served = Served::with(&[Reply::Whole(file())]).await;
    assert_eq!(fetch(&served.url, &part(&folder)).await.0.unwrap(), file());
    assert_eq!(served.asked(), [Some(7)]);
}

#[tokio::test]
async fn a_complete_part_needs_no_server() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(part(&folder), file()).unwrap();
    let served = Served::with(&[Reply::Status(500)]).await;
    assert_eq!(fetch(&served.url, &part(&folder)).await.0.unwrap(), file());
    assert!(served.asked().is_empty());
}

#[tokio::test]
async fn a_part_that_does_not_belong_to_the_file_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let too_long = [file(), vec![0]].concat();
    // (part, first bytes asked for)
    let table = [(too_long, vec![Some(300_001), None]), (b"of an older file".to_vec(), vec![Some(16), None])];
    for (left_behind, asked) in table {
        std::fs::write(part(&folder), left_behind).unwrap();
        let served = Served::with(&[Reply::Ranged(file())]).await;
        assert_eq!(fetch(&served.url, &part(&folder)).await.0.unwrap(), file());
        assert_eq!(served.asked(), asked);
    }
}

#[tokio::test]
async fn a_file_that_changes_between_two_pieces_is_fetched_anew() {
    let folder = tempfile::tempdir().unwrap();
    let older = vec![9; 200_000];
    let served = Served::with(&[Reply::Cut(older, 1_000), Reply::Ranged(file())]).await;
    assert_eq!(fetch(&served.url, &part(&folder)).await.0.unwrap(), file());
    assert_eq!(served.asked(), [None, Some(1_000), None]);
}

#[tokio::test]
async fn a_wrong_file_is_refused_and_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::with(&[Reply::Ranged(b"something else".to_vec()), Reply::Ranged(file())]).await;
    let error = fetch(&served.url, &part(&folder)).await.0.unwrap_err();
    let found = sha256(b"something else");
    assert_eq!(error.to_string(), format!("what came as the file is not the known file: its sha256 is {found}"));
    assert!(!part(&folder).exists());
    assert_eq!(fetch(&served.url, &part(&folder)).await.0.unwrap(), file(), "the next run starts clean");
    assert_eq!(served.asked(), [None, None]);
}

#[tokio::test]
async fn a_refusal_is_final_and_names_the_address() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::with(&[Reply::Status(404)]).await;
    let error = fetch(&served.url, &part(&folder)).await.0.unwrap_err();
    assert_eq!(error.to_string(), format!("fetching the file: `{}` answers 404 Not Found", served.url));
    assert_eq!(served.asked().len(), 1);
}
