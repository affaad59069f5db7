//! `pytorch_model.bin`: code that must not run, and archives and tensors that claim more than there is.

use std::io::Write as _;

use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::hostile::refused;
use super::*;
use crate::allocation::peak;

const FILE: &str = "pytorch_model.bin";

/// A text of a pickle.
fn text(text: &str) -> Vec<u8> {
    let mut out = vec![b'X'];
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
    out
}

/// A whole number of a pickle.
fn number(number: i64) -> Vec<u8> {
    let mut out = vec![0x8a, 8];
    out.extend(number.to_le_bytes());
    out
}

fn tuple(items: &[i64]) -> Vec<u8> {
    let mut out = vec![b'('];
    out.extend(items.iter().flat_map(|item| number(*item)));
    out.push(b't');
    out
}

/// A tensor over a storage of `numbers` elements.
fn tensor(storage: &str, key: &str, numbers: i64, shape: &[i64], stride: &[i64]) -> Vec<u8> {
    let mut out = b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
    out.extend(text("storage"));
    out.extend(format!("ctorch\n{storage}\n").as_bytes());
    out.extend(text(key));
    out.extend(text("cpu"));
    out.extend(number(numbers));
    out.extend(b"tQ");
    out.extend(number(0));
    out.extend(tuple(shape));
    out.extend(tuple(stride));
    out.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    out
}

/// A table of values by name.
fn pickle(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = b"\x80\x02}(".to_vec();
    for (name, value) in entries {
        out.extend(text(name));
        out.extend(value);
    }
    out.extend(b"u.");
    out
}

/// An archive as `torch.save` writes it, but for how its entries are stored.
fn archive(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, content) in entries {
        writer.start_file(format!("model/{name}"), options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn stored(pickle: &[u8], storage: &[u8]) -> Vec<u8> {
    let entries = [("data.pkl", pickle), ("data/0", storage)];
    archive(&entries, CompressionMethod::Stored)
}

fn put(bytes: &[u8]) -> TempDir {
    let folder = folder(&config());
    std::fs::write(folder.path().join(FILE), bytes).unwrap();
    folder
}

const TABLE: &str = "embed_tokens.weight";

#[test]
fn a_small_archive_is_read_stored_and_compressed() {
    let numbers: Vec<u8> = (0..24).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let pickle = pickle(&[(TABLE, tensor("FloatStorage", "0", 24, &[6, 4], &[4, 1]))]);
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let entries = [("data.pkl", &*pickle), ("data/0", &*numbers)];
        let folder = put(&archive(&entries, method));
        let mut checkpoint = Checkpoint::open(folder.path()).unwrap();
        let table = checkpoint.take(TABLE, &[6, 4]).unwrap();
        let expected: Vec<f32> = (0..24).map(|i| i as f32).collect();
        assert_eq!(table.try_into_vec::<f32>().unwrap(), expected);
    }
}

/// As trainers save: the model under a key, and what they need themselves beside it.
#[test]
fn a_model_under_state_dict_is_read_without_what_stands_beside_it() {
    let numbers: Vec<u8> = (0..48).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let of = |first: i64| {
        let mut bytes = tensor("FloatStorage", "0", 48, &[6, 4], &[4, 1]);
        // Where it begins in the storage, behind the persistent id.
        let at = bytes.windows(2).position(|pair| pair == b"tQ").unwrap() + 2;
        bytes[at..at + 10].copy_from_slice(&number(first));
        bytes
    };
    let table = |values: &[(&str, Vec<u8>)]| {
        let whole = pickle(values);
        // Without the header and the stop.
        whole[2..whole.len() - 1].to_vec()
    };
    let whole = pickle(&[
        (
            "state_dict",
            table(&[(&format!("model.decoder.{TABLE}"), of(24))]),
        ),
        ("optimizer", table(&[(TABLE, of(0))])),
        ("epoch", number(3)),
    ]);
    let folder = put(&stored(&whole, &numbers));
    let mut checkpoint = Checkpoint::open(folder.path()).unwrap();
    let found: Vec<String> = checkpoint.tensors().into_iter().map(|t| t.source).collect();
    assert_eq!(found, [format!("model.decoder.{TABLE}")]);
    let table = checkpoint.take(TABLE, &[6, 4]).unwrap();
    let expected: Vec<f32> = (24..48).map(|i| i as f32).collect();
    assert_eq!(table.try_into_vec::<f32>().unwrap(), expected);
}

/// The pickle of which everybody warns: a call of `os.system`, wherever it stands.
#[test]
fn code_in_a_pickle_is_refused_and_not_run() {
    let folder = folder(&config());
    let witness = folder.path().join("it-ran");
    let table = || tensor("FloatStorage", "0", 24, &[6, 4], &[4, 1]);
    for (module, function, argument) in [
        ("posix", "system", format!("touch {}", witness.display())),
        (
            "builtins",
            "eval",
            format!("open({:?}, 'w')", witness.display()),
        ),
        (
            "subprocess",
            "getoutput",
            format!("touch {}", witness.display()),
        ),
    ] {
        let mut call = format!("c{module}\n{function}\n(").into_bytes();
        call.extend(text(&argument));
        call.extend(b"tR");
        let name = format!("{module}.{function}");
        let within_a_list = [&b"]"[..], &call, b"a"].concat();
        for hostile in [call.clone(), within_a_list] {
            let whole = pickle(&[(TABLE, table()), ("x", hostile)]);
            let legacy = [&whole[..], b"\x80\x02].", &[0; 8]].concat();
            for bytes in [stored(&whole, &[0; 96]), legacy] {
                std::fs::write(folder.path().join(FILE), bytes).unwrap();
                refused(folder.path(), FILE, &[]);
            }
            std::fs::write(folder.path().join(FILE), stored(&whole, &[0; 96])).unwrap();
            refused(folder.path(), FILE, &[&name, "none of it was run"]);
        }
        // In place of the table itself, and of a tensor.
        let alone = [&b"\x80\x02"[..], &call, b"."].concat();
        std::fs::write(folder.path().join(FILE), stored(&alone, &[])).unwrap();
        refused(folder.path(), FILE, &[&name]);
        std::fs::write(folder.path().join(FILE), &alone).unwrap();
        refused(folder.path(), FILE, &[&name]);
        assert!(!witness.exists(), "{name} was run");
    }
}

#[test]
fn archives_that_unpack_to_far_more_than_themselves_are_refused() {
    let table = tensor("FloatStorage", "0", 1 << 26, &[6, 4], &[4, 1]);
    let good = pickle(&[(TABLE, table)]);
    // A storage, and a pickle of a million nothings in a list.
    let zeros = vec![0; 1 << 26];
    let mut nothings = b"\x80\x02](".to_vec();
    nothings.resize(1 << 26, b'N');
    nothings.extend(b"e.");
    for (pickle, storage) in [(&good, &zeros), (&nothings, &Vec::new())] {
        let entries = [("data.pkl", &**pickle), ("data/0", &**storage)];
        let bytes = archive(&entries, CompressionMethod::Deflated);
        assert!(bytes.len() < 1 << 18);
        let folder = put(&bytes);
        let size = bytes.len().to_string();
        refused(folder.path(), FILE, &["entries claim 6710", &size]);
    }
}

/// Both headers of an entry, the local and the central one, claim another size than it has.
#[test]
fn entries_that_claim_another_size_than_they_have_are_errors() {
    let numbers: Vec<u8> = (0..24).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let pickle = pickle(&[(TABLE, tensor("FloatStorage", "0", 24, &[6, 4], &[4, 1]))]);
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let entries = [("data.pkl", &*pickle), ("data/0", &*numbers)];
        let good = archive(&entries, method);
        for claim in [0_u32, 1, 95, 1 << 20, u32::MAX - 1] {
            let mut bytes = good.clone();
            for at in 0..bytes.len() - 30 {
                // Where the uncompressed size stands behind the signature.
                let place = match &bytes[at..at + 4] {
                    b"PK\x03\x04" => at + 22,
                    b"PK\x01\x02" => at + 24,
                    _ => continue,
                };
                if bytes[place..place + 4] == 96_u32.to_le_bytes() {
                    bytes[place..place + 4].copy_from_slice(&claim.to_le_bytes());
                }
            }
            assert_ne!(bytes, good);
            let folder = put(&bytes);
            let (result, peak) = peak(|| {
                let mut checkpoint = Checkpoint::open(folder.path()).map_err(|e| e.to_string())?;
                let table = checkpoint.take(TABLE, &[6, 4]);
                table.map_err(|error| error.to_string())
            });
            assert!(result.is_err(), "{method:?}, {claim}");
            assert!(peak < 1 << 20, "{method:?}, {claim}: {peak} bytes");
        }
    }
}

#[test]
fn tensors_that_claim_more_than_their_storage_are_refused() {
    let huge = 1_i64 << 40;
    let cases: [(&str, Vec<u8>, &str); 9] = [
        (
            "repeated without end",
            tensor("FloatStorage", "0", 1, &[1 << 15, 1 << 15], &[0, 0]),
            "tensors claim 4294967296 bytes",
        ),
        (
            "beyond any memory",
            tensor("FloatStorage", "0", 1, &[huge, huge], &[0, 0]),
            "overflow",
        ),
        (
            "beyond its storage",
            tensor("FloatStorage", "0", 24, &[6, 5], &[5, 1]),
            "needs 30 elements",
        ),
        (
            "of strides beyond its storage",
            tensor("FloatStorage", "0", 24, &[6, 4], &[huge, 1]),
            "elements",
        ),
        (
            "of a negative size",
            tensor("FloatStorage", "0", 24, &[-6, 4], &[4, 1]),
            "non-negative",
        ),
        (
            "of a negative storage",
            tensor("FloatStorage", "0", -24, &[6, 4], &[4, 1]),
            "non-negative",
        ),
        (
            "of fewer strides than sizes",
            tensor("FloatStorage", "0", 24, &[6, 4], &[4]),
            "rank",
        ),
        (
            "of whole numbers",
            tensor("LongStorage", "0", 24, &[6, 4], &[4, 1]),
            "is of type I64",
        ),
        (
            "of an unknown type",
            tensor("QInt8Storage", "0", 24, &[6, 4], &[4, 1]),
            "QInt8Storage",
        ),
    ];
    for (what, tensor, part) in cases {
        println!("{what}");
        let folder = put(&stored(&pickle(&[(TABLE, tensor)]), &[0; 192]));
        let (result, bytes) = peak(|| Checkpoint::open(folder.path()));
        let error = result.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        assert!(bytes < 1 << 20, "{bytes} bytes: {error}");
    }
    // What is only found out when it is read.
    for (key, numbers, storage) in [
        ("1", 24, 96),
        ("../0", 24, 96),
        ("0", 24, 92),
        ("0", 1 << 36, 92),
    ] {
        let tensor = tensor("FloatStorage", key, numbers, &[6, 4], &[4, 1]);
        let folder = put(&stored(&pickle(&[(TABLE, tensor)]), &vec![0; storage]));
        let mut checkpoint = Checkpoint::open(folder.path()).unwrap();
        let (result, bytes) = peak(|| checkpoint.take(TABLE, &[6, 4]));
        let error = result.unwrap_err().to_string();
        assert!(error.contains(TABLE) && bytes < 1 << 20, "{bytes}: {error}");
        let (result, bytes) = peak(|| checkpoint.check_storages());
        let error = result.unwrap_err().to_string();
        assert!(error.contains(TABLE) && bytes < 1 << 20, "{bytes}: {error}");
    }
}

#[test]
fn a_pytorch_file_cut_anywhere_is_an_error() {
    let whole = std::fs::read(fixture("opt_bin").join(FILE)).unwrap();
    let folder = put(&whole);
    let path = folder.path().join(FILE);
    let legacy = pickle(&[("x", number(1))]);
    for bytes in [whole, legacy] {
        let step = (bytes.len() / 100).max(1);
        for end in (0..bytes.len()).step_by(step) {
            std::fs::write(&path, &bytes[..end]).unwrap();
            refused(folder.path(), FILE, &[]);
        }
    }
}

#[test]
fn pickles_that_grow_or_nest_without_end_are_refused() {
    let mut laughs = b"\x80\x02\x89q\x00".to_vec();
    for _ in 0..64 {
        laughs.extend(b"h\x00h\x00\x86q\x00");
    }
    laughs.push(b'.');
    let deep = [
        &b"\x80\x02"[..],
        &vec![b']'; 1 << 16],
        &vec![b'a'; (1 << 16) - 1],
        b".",
    ]
    .concat();
    let long = [&b"\x80\x04\x8d"[..], &(1_u64 << 62).to_le_bytes(), b"x."].concat();
    for (what, hostile) in [("laughs", laughs), ("deep", deep), ("long", long)] {
        println!("{what}");
        for bytes in [stored(&hostile, &[]), hostile] {
            let folder = put(&bytes);
            let (result, peak) = peak(|| Checkpoint::open(folder.path()));
            let error = result.map(|_| ()).unwrap_err();
            assert!(matches!(error, ImportError::Pytorch { .. }), "{error}");
            assert!(peak < 1 << 28, "{peak} bytes");
        }
    }
}

/// Older than transformers; tar has entries of holes, which cost nothing on disk.
#[test]
fn archives_of_the_first_pytorch_are_refused() {
    let mut tar = vec![0; 1024];
    tar[..8].copy_from_slice(b"storages");
    tar[156] = b'S';
    tar[257..262].copy_from_slice(b"ustar");
    refused(put(&tar).path(), FILE, &["PyTorch before 0.1.10"]);
}
