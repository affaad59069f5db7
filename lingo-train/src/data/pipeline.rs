//! From a file to samples: read by one thread, encoded by all, in chunks, so that little is held at a time.

use std::path::Path;
use std::sync::mpsc::sync_channel;

use super::answers::Wanted;
use super::cache::LoadError;
use super::record::{DataError, Record};
use super::samples::fingerprint;
use super::source::records;
use super::tokenize::{Encoder, EncodingReport, Sample};

/// Records that are encoded at a time.
const CHUNK: usize = 4096;
/// Chunks that are read ahead.
const AHEAD: usize = 2;

/// Samples one behind the other, with the fingerprints of their sequences, and what encoding did to them.
pub(super) struct Chunk {
    pub(super) samples: Vec<Sample>,
    pub(super) fingerprints: Vec<u64>,
    pub(super) report: EncodingReport,
}

/// Encodes the records of a file, unpacked into the folder `scratch` where it has to be; `take` gets the chunks in order.
///
/// # Errors
/// If the file cannot be read or encoded, and whatever `take` says.
pub(super) fn encode(
    path: &Path,
    wanted: Wanted<'_>,
    encoder: &Encoder,
    scratch: &Path,
    mut take: impl FnMut(Chunk) -> Result<(), LoadError>,
) -> Result<(), LoadError> {
    let mut records = records(path, wanted, scratch)?;
    std::thread::scope(|scope| {
        let (send, receive) = sync_channel::<Result<Vec<Record>, DataError>>(AHEAD);
        scope.spawn(move || {
            loop {
                let chunk: Result<Vec<Record>, DataError> = records.by_ref().take(CHUNK).collect();
                let last = chunk.as_ref().map_or(true, Vec::is_empty);
                // Nobody listens any more where an earlier chunk has failed.
                if send.send(chunk).is_err() || last {
                    return;
                }
            }
        });
        for records in receive {
            let mut records = records?;
            let left_out = without_answers(&mut records, wanted);
            let (samples, report) = encoder.encode(&records)?;
            let fingerprints = records.iter().map(|record| fingerprint(&record.sequence));
            take(Chunk {
                samples,
                fingerprints: fingerprints.collect(),
                report: EncodingReport { left_out, ..report },
            })?;
        }
        Ok(())
    })
}

/// Leaves out what a training split teaches nothing with, and would have it take a place in batches; how many that are.
fn without_answers(records: &mut Vec<Record>, wanted: Wanted<'_>) -> usize {
    let all = records.len();
    if wanted.is_of_training() {
        records.retain(|record| record.label.as_ref().is_some_and(|label| label.known() > 0));
    }
    all - records.len()
}
