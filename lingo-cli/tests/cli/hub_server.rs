//! A hub of one model on this machine, which speaks as much as is asked of it and writes down what was asked.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::place::quickstart;

/// The model's commit.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// How the hub answers.
#[derive(Clone, Copy, PartialEq)]
pub enum Manner {
    /// Straight.
    Plain,
    /// Its repository was renamed, and another server keeps the contents, which must not see the token.
    Elsewhere,
    /// It redirects without saying where to.
    Nowhere,
    /// It redirects to itself.
    Circle,
    /// It redirects to what is no address.
    Senseless,
    /// It shows a page for people.
    Page,
    /// It says that every file has this size.
    Size(u64),
    /// It does not say how large files are.
    NoSize,
    /// It gives no parts, only whole files.
    Whole,
    /// It sends everything elsewhere before it says the tag.
    LateTag,
    /// It sends files from their beginning, whatever part was asked for.
    Shifted,
}

/// What the hub has and how it behaves.
#[derive(Clone)]
pub struct Model {
    /// `owner/name`.
    pub id: String,
    /// Contents by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The commit that it speaks of.
    pub commit: String,
    /// What each file's tag begins with.
    pub tag: String,
    /// The token without which nothing is given.
    pub token: Option<String>,
    /// The status of every answer.
    pub status: u16,
    /// Whole tags of single files.
    pub tags: BTreeMap<String, String>,
    /// The statuses of the first answers.
    pub statuses: VecDeque<u16>,
    /// How often a transfer is cut off in the middle of the file, beyond which nothing comes.
    pub cuts: usize,
    /// How often a transfer stops there and the connection stays open.
    pub stalls: usize,
    /// The most bytes of a transfer.
    pub most: usize,
    /// How it answers.
    pub manner: Manner,
}

impl Model {
    /// The files of a folder, under a name.
    pub fn of(id: &str, folder: &Path) -> Self {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        });
        Self {
            id: id.to_owned(),
            files: files.collect(),
            commit: COMMIT.to_owned(),
            tag: "tag-".to_owned(),
            token: None,
            status: 200,
            tags: BTreeMap::new(),
            statuses: VecDeque::new(),
            cuts: 0,
            stalls: 0,
            most: usize::MAX,
            manner: Manner::Plain,
        }
    }

    /// The quickstart's model, among files that nobody needs.
    pub fn quickstart(id: &str) -> Self {
        let mut model = Self::of(id, &quickstart("model"));
        for name in [
            "README.md",
            "pytorch_model.bin",
            "tf_model.h5",
            "onnx/model.onnx",
        ] {
            model.put(name, b"nobody needs this");
        }
        model
    }

    pub fn put(&mut self, name: &str, content: &[u8]) {
        self.files.insert(name.to_owned(), content.to_vec());
    }
}

/// The hub at work; it stops when it is dropped.
pub struct Hub {
    pub endpoint: String,
    asked: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Hub {
    pub fn start(model: Model) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let (log, end) = (asked.clone(), ended.clone());
        let thread = std::thread::spawn(move || {
            let mut model = model;
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                // A client that hangs up is no matter.
                let _ = answer(stream.unwrap(), &mut model, &log);
            }
        });
        Self {
            endpoint,
            asked,
            ended,
            thread: Some(thread),
        }
    }

    /// What was asked since the last time: `/path`, and `/path bytes=..` for the content of a file.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// The names of files whose content was asked for since the last time.
    pub fn fetched(&self) -> Vec<String> {
        let of_content = |asked: &String| {
            let (path, range) = asked.split_once(" bytes=")?;
            let (_, file) = path.split_once("/resolve/")?;
            let (_, name) = file.split_once('/')?;
            (range != "0-0").then(|| name.to_owned())
        };
        self.asked().iter().filter_map(of_content).collect()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let address = self.endpoint.trim_start_matches("http://");
        let _ = TcpStream::connect(address);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn answer(
    mut stream: TcpStream,
    model: &mut Model,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut range = None;
    let mut token = None;
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        match name.to_lowercase().as_str() {
            "range" => range = Some(value.to_owned()),
            "authorization" => token = value.strip_prefix("Bearer ").map(str::to_owned),
            _ => {}
        }
    }
    let asked = match &range {
        Some(range) => format!("{path} {range}"),
        None => path.clone(),
    };
    log.lock().unwrap().push(asked);

    let status = match model.status {
        200 if model.token.is_some() && token != model.token && !path.starts_with("/kept/") => 401,
        status => status,
    };
    let status = match model.statuses.pop_front() {
        None | Some(200) => status,
        Some(first) => first,
    };
    if status != 200 {
        return write!(
            stream,
            "HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    let info = format!("/api/models/{}/revision/main", model.id);
    if path == info {
        let files: Vec<String> = model
            .files
            .keys()
            .map(|name| format!("{{\"rfilename\":{name:?}}}"))
            .collect();
        let body = match model.manner {
            Manner::Page => "<!doctype html><title>Welcome to the network</title>".to_owned(),
            _ => format!(
                "{{\"id\":{:?},\"sha\":{:?},\"siblings\":[{}]}}",
                model.id,
                model.commit,
                files.join(",")
            ),
        };
        return write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
    }
    let prefix = |root: &str| format!("/{root}resolve/{}/", model.commit);
    let (own, renamed, kept) = (
        prefix(&format!("{}/", model.id)),
        prefix("renamed/"),
        prefix("kept/"),
    );
    let is_kept = path.starts_with(&kept);
    let name = [own, renamed, kept]
        .iter()
        .find_map(|start| path.strip_prefix(start.as_str()));
    let content = name.and_then(|name| Some((name, model.files.get(name)?)));
    let (Some((name, content)), Some(range)) = (content, range) else {
        return write!(
            stream,
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    };
    let tag = match model.tags.get(name) {
        Some(tag) => tag.clone(),
        None => format!("{}{}", model.tag, name.len() + content.len()),
    };
    let described = format!("ETag: \"{tag}\"\r\nx-repo-commit: {}\r\n", model.commit);
    let port = stream.local_addr()?.port();
    let redirect = match model.manner {
        Manner::Nowhere => Some(String::new()),
        Manner::Circle => Some(format!("Location: {path}\r\n")),
        Manner::Senseless => Some("Location: file:///etc/passwd\r\n".to_owned()),
        Manner::Elsewhere if path.starts_with("/renamed/") => Some(format!(
            "{}Location: http://localhost:{port}/kept/resolve/{}/{name}\r\n",
            described.replace("ETag", "x-linked-etag"),
            model.commit
        )),
        Manner::LateTag if !path.starts_with("/renamed/") => Some(format!(
            "x-repo-commit: {0}\r\nLocation: /renamed/resolve/{0}/{name}\r\n",
            model.commit
        )),
        Manner::Elsewhere if !is_kept => Some(format!(
            "Location: /renamed/resolve/{}/{name}\r\n",
            model.commit
        )),
        _ => None,
    };
    if let Some(headers) = redirect {
        return write!(
            stream,
            "HTTP/1.1 302 Found\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    if is_kept && token.is_some() {
        return write!(
            stream,
            "HTTP/1.1 400 Not Yours\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    let (from, to) = range.trim_start_matches("bytes=").split_once('-').unwrap();
    let (from, end) = match (model.manner, to) {
        (Manner::Whole, _) | (Manner::Shifted, "") => (0, content.len()),
        _ => {
            let end = to.parse().map_or(content.len(), |to: usize| to + 1);
            (from.parse().unwrap(), end)
        }
    };
    let part = &content[from.min(end)..end];
    let size = match model.manner {
        Manner::Size(claimed) => claimed,
        _ => content.len() as u64,
    };
    let of_range = match model.manner {
        Manner::NoSize | Manner::Whole => String::new(),
        _ => format!(
            "Content-Range: bytes {from}-{}/{size}\r\n",
            end.saturating_sub(1)
        ),
    };
    let headers = if is_kept {
        "ETag: \"of-another\"\r\n"
    } else {
        &described
    };
    let status = match model.manner {
        Manner::Whole => "200 OK",
        _ => "206 Partial Content",
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{headers}{of_range}Content-Length: {}\r\nConnection: close\r\n\r\n",
        part.len()
    )?;
    let is_large = content.len() > 10_000 && part.len() > 1;
    let half = (content.len() / 2).saturating_sub(from);
    if is_large && model.stalls > 0 {
        model.stalls -= 1;
        stream.write_all(&part[..half])?;
        // It is never closed.
        std::mem::forget(stream);
        return Ok(());
    }
    let mut sent = part.len().min(model.most);
    if is_large && model.cuts > 0 {
        model.cuts -= 1;
        sent = half;
    }
    stream.write_all(&part[..sent])
}
