//! What the fuzz targets share: a folder to put the input into, and everything that can be asked of a checkpoint.

use std::path::{Path, PathBuf};

use lingo_core::weights::WeightSource as _;
use tempfile::TempDir;
use weights_import::Checkpoint;

/// The most bytes of tensors that are put behind a header that stands alone.
const MOST_DATA: usize = 1 << 16;

/// A folder that is used for one input after another.
pub struct Folder(TempDir);

impl Default for Folder {
    fn default() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }
}

impl Folder {
    /// Its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file and gives its path.
    pub fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).expect("the temporary folder can be written");
        path
    }

    /// Writes a file, or removes it where there is no content.
    pub fn put(&self, name: &str, content: &[u8]) {
        match content {
            [] => _ = std::fs::remove_file(self.path().join(name)),
            content => _ = self.write(name, content),
        }
    }
}

/// Splits an input into `N` parts at its first zero bytes; what is missing is empty.
pub fn parts<const N: usize>(input: &[u8]) -> [&[u8]; N] {
    let mut parts = input.splitn(N, |byte| *byte == 0);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// A safetensors file. An input that begins with a brace is its header alone, for most of what can be wrong is there;
/// it gets its length in front, and as many zeros behind as its last tensor wants, if those are not too many.
pub fn safetensors(input: &[u8]) -> Vec<u8> {
    if !input.starts_with(b"{") {
        return input.to_vec();
    }
    let mut file = (input.len() as u64).to_le_bytes().to_vec();
    file.extend(input);
    file.resize(file.len() + last_offset(input).unwrap_or(0), 0);
    file
}

/// The largest number behind `data_offsets`.
fn last_offset(header: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(header).ok()?;
    let offsets = text.split("\"data_offsets\"").skip(1);
    let numbers = offsets.flat_map(|part| part.split(']').next()?.split(',').next_back());
    let numbers = numbers.filter_map(|number| number.trim().parse().ok());
    numbers.max().filter(|last| *last <= MOST_DATA)
}

/// Opens a checkpoint and asks for everything that it has.
pub fn read(path: &Path) {
    let Ok(mut checkpoint) = Checkpoint::open(path) else {
        return;
    };
    let _ = checkpoint.tokenizer();
    for tensor in checkpoint.tensors() {
        if let &[height, width] = tensor.shape.as_slice() {
            let rows = [0, (height as u32).wrapping_sub(1)];
            let _ = checkpoint.take_rows(&tensor.name, [height, width], &rows);
        }
        if let Ok(data) = checkpoint.take(&tensor.name, &tensor.shape) {
            assert_eq!(data.shape().to_vec(), tensor.shape);
            assert_eq!(data.num_elements(), data.iter::<f32>().count());
        }
    }
    let _ = checkpoint.check_complete();
}
