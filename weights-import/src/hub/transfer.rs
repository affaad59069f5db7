//! One file after another from the hub into the cache.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::cache::Place;
use super::client::{Client, Described};
use super::failure::Failure;
use super::hold::Hold;
use super::tries::Tries;
use super::{HubError, HubEvent, content};

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

/// A content on its way.
struct Arriving<'a> {
    file: &'a str,
    described: &'a Described,
    /// Where it arrives.
    part: PathBuf,
    /// The most bytes that were there at any time.
    furthest: u64,
}

impl Fetcher<'_> {
    /// The path of a file, which is fetched unless it is there.
    pub(super) fn get(&mut self, file: &str) -> Result<PathBuf, HubError> {
        let path = self.folder.join(file);
        let client = self.client;
        let described = client
            .patiently(|_| client.describe(self.commit, file))
            .map_err(|failure| client.failed(failure))?;
        let cache = |source| client.cache(source);
        let bytes = described.bytes;
        if has_size(&path, bytes) {
            return Ok(path);
        }
        let blob = self.place.blob(&described.tag);
        if let Some(folder) = blob.parent() {
            std::fs::create_dir_all(folder).map_err(cache)?;
        }
        let waiting = |lock: &Path| (self.observer)(HubEvent::Waiting { name: file, lock });
        let hold = Hold::take(&blob, waiting).map_err(cache)?;
        // Another process may have brought it meanwhile.
        if has_size(&path, bytes) {
            return Ok(path);
        }
        if !has_size(&blob, bytes) {
            (self.observer)(HubEvent::File { name: file, bytes });
            let part = hold.part(&blob);
            if let Err(error) = self.download(file, &described, &part) {
                if let Hold::Shared = hold {
                    // No other process would go on with it.
                    remove(&part).map_err(cache)?;
                }
                return Err(error);
            }
            std::fs::rename(part, &blob).map_err(cache)?;
        }
        if !has_size(&path, bytes) {
            // A link to nothing would stay in the way for ever.
            remove(&path)
                .and_then(|()| self.place.link(&described.tag, self.commit, file))
                .map_err(cache)?;
        }
        Ok(path)
    }

    /// Fetches a content, going on after interruptions.
    fn download(&mut self, file: &str, described: &Described, part: &Path) -> Result<(), HubError> {
        let client = self.client;
        let mut arriving = Arriving {
            file,
            described,
            part: part.to_owned(),
            furthest: 0,
        };
        let received = client.patiently(|tries| self.receive(&mut arriving, tries));
        received.map_err(|failure| match failure.interruption() {
            Some(reason) => HubError::CutOff {
                id: client.id.clone(),
                file: file.to_owned(),
                reason,
            },
            None => client.failed(failure),
        })
    }

    /// Receives what is missing of a content; never more than it is said to have.
    fn receive(&mut self, arriving: &mut Arriving<'_>, tries: &mut Tries) -> Result<(), Failure> {
        let cache = Failure::Cache;
        let (file, part) = (arriving.file, arriving.part.clone());
        let bytes = arriving.described.bytes;
        let mut options = OpenOptions::new();
        let mut output = options
            .append(true)
            .create(true)
            .open(&part)
            .map_err(cache)?;
        let mut received = output.metadata().map_err(cache)?.len();
        // No beginning of this file.
        if received >= bytes {
            output.set_len(0).map_err(cache)?;
            received = 0;
        }
        let answer = self.client.content(self.commit, file, received)?;
        if !answer.partial {
            // It comes from its beginning, whatever was asked for.
            output.set_len(0).map_err(cache)?;
            received = 0;
        }
        if answer.from != received {
            remove(&part).map_err(cache)?;
            let from = answer.from;
            let problem =
                format!("it sends {file} from byte {from} on, where {received} was asked for");
            return Err(Failure::Answer(problem));
        }
        let resumed = received > 0;
        arriving.furthest = arriving.furthest.max(received);
        let mut content = answer.content;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            (self.observer)(HubEvent::Received(received));
            let read = content.read(&mut buffer).map_err(ureq::Error::from)?;
            received += read as u64;
            if received > bytes {
                remove(&part).map_err(cache)?;
                let problem =
                    format!("it sends more of {file} than the {bytes} bytes it speaks of");
                return Err(Failure::Answer(problem));
            }
            if read == 0 {
                break;
            }
            output.write_all(&buffer[..read]).map_err(cache)?;
            // Whoever always begins anew achieves nothing.
            if received > arriving.furthest {
                arriving.furthest = received;
                tries.renew();
            }
        }
        if received < bytes {
            return Err(Failure::Short(format!("{received} of {bytes} bytes")));
        }
        self.verify(&output, arriving, resumed)
    }

    /// Keeps what has arrived only if it is what was described.
    fn verify(&self, output: &File, arriving: &Arriving<'_>, resumed: bool) -> Result<(), Failure> {
        let cache = Failure::Cache;
        // What the disk does not have yet would be empty after a loss of power.
        output.sync_all().map_err(cache)?;
        let Described { tag, bytes } = arriving.described;
        let Some(fault) = content::fault(&arriving.part, tag, *bytes).map_err(cache)? else {
            return Ok(());
        };
        remove(&arriving.part).map_err(cache)?;
        Err(Failure::Damaged {
            problem: format!(
                "{} arrived damaged ({fault}) and is fetched anew by the next command",
                arriving.file
            ),
            resumed,
        })
    }
}

fn has_size(path: &Path, bytes: u64) -> bool {
    path.metadata()
        .is_ok_and(|file| file.is_file() && file.len() == bytes)
}

/// Removes a file or a link, if there is one.
fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
