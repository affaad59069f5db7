//! One file after another from the hub into the cache.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::http::StatusCode;

use super::cache::Place;
use super::client::{Client, Described, Failure};
use super::{HubError, HubEvent};

/// How often a file is asked for; each time goes on where the last ended.
const TRIES: usize = 3;
/// How often a lock is tried for.
const LOCK_TRIES: usize = 5;
/// Time between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes that are written at a time.
const BUFFER_BYTES: usize = 1 << 17;

/// Fetches the files of one commit.
pub(super) struct Fetcher<'a> {
    pub(super) client: &'a Client<'a>,
    pub(super) place: &'a Place,
    /// The commit.
    pub(super) commit: &'a str,
    /// Where its files go.
    pub(super) folder: &'a Path,
    pub(super) observer: &'a mut dyn FnMut(HubEvent<'_>),
}

impl Fetcher<'_> {
    /// The path of a file, which is fetched unless it is there.
    pub(super) fn get(&mut self, file: &str) -> Result<PathBuf, HubError> {
        let path = self.folder.join(file);
        if path.is_file() {
            return Ok(path);
        }
        let client = self.client;
        let Described { tag, bytes } = client
            .describe(self.commit, file)
            .map_err(|failure| client.failed(failure))?;
        let blob = self.place.blob(&tag);
        if !has_size(&blob, bytes) {
            (self.observer)(HubEvent::File { name: file, bytes });
            self.download(file, &blob, bytes)?;
        }
        // A link to nothing would stay in the way for ever.
        remove(&path)
            .and_then(|()| self.place.link(&tag, self.commit, file))
            .map_err(|source| client.cache(source))?;
        Ok(path)
    }

    /// Fetches a content, going on after interruptions.
    fn download(&mut self, file: &str, blob: &Path, bytes: u64) -> Result<(), HubError> {
        let mut tries = 1;
        loop {
            let reason = match self.receive(file, blob, bytes) {
                Ok(()) => return Ok(()),
                Err(Failure::Request(error)) if is_interruption(&error) => error.to_string(),
                Err(failure) => return Err(self.client.failed(failure)),
            };
            if tries == TRIES {
                return Err(HubError::CutOff {
                    id: self.client.id.clone(),
                    file: file.to_owned(),
                    reason,
                });
            }
            tries += 1;
            std::thread::sleep(PAUSE);
        }
    }

    /// Receives what is missing of a content; never more than it is said to have.
    fn receive(&mut self, file: &str, blob: &Path, bytes: u64) -> Result<(), Failure> {
        let cache = Failure::Cache;
        if let Some(folder) = blob.parent() {
            std::fs::create_dir_all(folder).map_err(cache)?;
        }
        let _lock = lock(beside(blob, "lock"))?;
        let path = beside(blob, "part");
        let mut options = OpenOptions::new();
        let mut part = options
            .append(true)
            .create(true)
            .open(&path)
            .map_err(cache)?;
        let mut received = part.metadata().map_err(cache)?.len();
        // No beginning of this file.
        if received >= bytes {
            part.set_len(0).map_err(cache)?;
            received = 0;
        }
        let answer = self.client.content(self.commit, file, received)?;
        if answer.status() != StatusCode::PARTIAL_CONTENT {
            // It comes from its beginning, whatever was asked for.
            part.set_len(0).map_err(cache)?;
            received = 0;
        }
        let mut content = answer.into_body().into_reader();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            (self.observer)(HubEvent::Received(received));
            let read = content.read(&mut buffer).map_err(ureq::Error::Io)?;
            received += read as u64;
            if received > bytes {
                remove(&path).map_err(cache)?;
                let problem =
                    format!("it sends more of {file} than the {bytes} bytes it speaks of");
                return Err(Failure::Answer(problem));
            }
            if read == 0 {
                break;
            }
            part.write_all(&buffer[..read]).map_err(cache)?;
        }
        if received < bytes {
            let cut = format!("{received} of {bytes} bytes");
            return Err(ureq::Error::Io(io::Error::new(ErrorKind::UnexpectedEof, cut)).into());
        }
        std::fs::rename(path, blob).map_err(cache)
    }
}

/// Keeps other processes from a content until it is dropped.
fn lock(path: PathBuf) -> Result<File, Failure> {
    let file = File::create(&path).map_err(Failure::Cache)?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            Err(TryLockError::Error(source)) => return Err(Failure::Cache(source)),
        }
    }
    Err(Failure::Locked(path))
}

/// A file that belongs to a content.
fn beside(blob: &Path, extension: &str) -> PathBuf {
    let mut name = blob.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

fn has_size(path: &Path, bytes: u64) -> bool {
    path.metadata().is_ok_and(|file| file.len() == bytes)
}

/// Whether asking again may help.
fn is_interruption(error: &ureq::Error) -> bool {
    use ErrorKind as Kind;
    match error {
        ureq::Error::StatusCode(status) => *status >= 500,
        ureq::Error::Io(error) => matches!(
            error.kind(),
            Kind::ConnectionReset
                | Kind::ConnectionAborted
                | Kind::BrokenPipe
                | Kind::TimedOut
                | Kind::UnexpectedEof
                | Kind::Other
        ),
        _ => true,
    }
}

/// Removes a file or a link, if there is one.
fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
