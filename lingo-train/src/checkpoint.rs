//! Checkpoints that are whole or not there, and which of them are kept.

use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use burn::train::checkpoint::{
    Checkpoint, Checkpointer, CheckpointerError, CheckpointingAction, CheckpointingStrategy,
};
use burn::train::metric::store::EventStoreClient;

use crate::record::SharedLedger;
use crate::record::lock;

/// Saves one kind of record, each under a temporary name until it is synced.
pub struct AtomicCheckpointer<R> {
    dir: PathBuf,
    name: &'static str,
    record: PhantomData<fn(R)>,
}

impl<R> AtomicCheckpointer<R> {
    /// A checkpointer of files `{name}-{round}.bpk` in `dir`, which exists.
    pub fn new(dir: &Path, name: &'static str) -> Self {
        Self {
            dir: dir.to_owned(),
            name,
            record: PhantomData,
        }
    }

    fn path(&self, round: usize) -> PathBuf {
        self.dir.join(format!("{}-{round}.bpk", self.name))
    }
}

impl<R: Checkpoint> Checkpointer<R> for AtomicCheckpointer<R> {
    fn save(&self, round: usize, record: R) -> Result<(), CheckpointerError> {
        // Records write to another file where a name has no extension.
        let file = tempfile::Builder::new()
            .suffix(".bpk")
            .tempfile_in(&self.dir)
            .map_err(CheckpointerError::IOError)?;
        record.save(file.path().to_owned())?;
        let sync = || -> io::Result<()> {
            // Opened anew: the record may have replaced the file under its name.
            std::fs::File::open(file.path())?.sync_all()?;
            file.persist(self.path(round))?;
            Ok(())
        };
        sync().map_err(CheckpointerError::IOError)
    }

    fn delete(&self, round: usize) -> Result<(), CheckpointerError> {
        match std::fs::remove_file(self.path(round)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(CheckpointerError::IOError(error))
            }
            _ => Ok(()),
        }
    }

    fn restore(&self, round: usize) -> Result<R, CheckpointerError> {
        R::load(self.path(round))
    }
}

/// Keeps the newest checkpoint and the one of the best eligible evaluation.
pub struct KeepBestAndLast {
    ledger: SharedLedger,
    kept: Vec<usize>,
}

impl KeepBestAndLast {
    /// A strategy that looks up evaluations in `ledger`.
    pub fn new(ledger: SharedLedger) -> Self {
        Self {
            ledger,
            kept: Vec::new(),
        }
    }
}

impl CheckpointingStrategy for KeepBestAndLast {
    fn checkpointing(
        &mut self,
        round: usize,
        _store: &EventStoreClient,
    ) -> Vec<CheckpointingAction> {
        let best = lock(&self.ledger).best().map(|evaluation| evaluation.round);
        let (stay, go) = self.kept.iter().partition(|kept| Some(**kept) == best);
        self.kept = stay;
        self.kept.push(round);
        // The new one is whole before an old one goes.
        let mut actions = vec![CheckpointingAction::Save];
        actions.extend(Vec::into_iter(go).map(CheckpointingAction::Delete));
        actions
    }
}
