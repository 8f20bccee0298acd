//! Takes in a component: a file that somebody else has brought, whose content must be what its digest
//! says.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use remuda_model::{Digest, Failure};

/// How a component begins, and how what is often taken for one does.
const WASM: &[u8] = b"\0asm";
const CORE_VERSION: &[u8] = &[1, 0, 0, 0];
const COMPONENT_VERSION: &[u8] = &[0x0d, 0, 1, 0];
const ELF: &[u8] = b"\x7fELF";

/// Reads a component, at most so many bytes, and checks that it is the right one. Blocks.
pub(crate) fn component(path: &Path, digest: &Digest, max: u64) -> Result<Vec<u8>, Failure> {
    let unreadable = |error: io::Error| {
        Failure::failed(format!("component {} cannot be read: {error}", short(digest)))
            .code("unreadable_component")
    };
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    if length > max {
        return Err(too_large(length, max));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    // It may grow while it is read.
    file.take(max + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > max {
        return Err(too_large(bytes.len() as u64, max));
    }
    if blake3::hash(&bytes).to_hex().as_str() != digest.as_str() {
        let text = format!("the content kept for {} is another one", short(digest));
        return Err(Failure::failed(text)
            .code("digest_mismatch")
            .hint("bring the component to the node again"));
    }
    check_layer(&bytes)?;
    Ok(bytes)
}

/// Tells a component from what is often taken for one.
pub(crate) fn check_layer(bytes: &[u8]) -> Result<(), Failure> {
    let refused = |text: &str, code: &str| Failure::invalid(text.to_owned()).code(code);
    if bytes.starts_with(ELF) || wasmtime::Engine::detect_precompiled(bytes).is_some() {
        return Err(refused("precompiled code is never loaded", "precompiled")
            .hint("send the component itself; each node compiles it"));
    }
    let Some(version) = bytes.strip_prefix(WASM).and_then(|rest| rest.get(..4)) else {
        let what = if std::str::from_utf8(bytes).is_ok() { "a text" } else { "something else" };
        return Err(refused(&format!("this is no WebAssembly, but {what}"), "no_wasm")
            .hint("send the component in its binary form"));
    };
    match version {
        COMPONENT_VERSION => Ok(()),
        CORE_VERSION => Err(refused("this is a core module, not a component", "core_module")
            .hint("make a component of it, for instance with `wasm-tools component new`")),
        _ => Err(refused("this version of WebAssembly is not known", "no_wasm")),
    }
}

fn too_large(length: u64, max: u64) -> Failure {
    Failure::invalid(format!("the component has {length} bytes"))
        .code("component_too_large")
        .hint(format!("this node loads at most {max} bytes"))
}

/// A digest as people name it.
pub(crate) fn short(digest: &Digest) -> &str {
    &digest.as_str()[..12]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(bytes: &[u8]) -> (tempfile::NamedTempFile, Digest) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        (file, blake3::hash(bytes).to_hex().as_str().parse().expect("a digest"))
    }

    #[test]
    fn only_components_are_taken_in() {
        let component = [b"\0asm".as_slice(), COMPONENT_VERSION].concat();
        let (file, digest) = kept(&component);
        assert_eq!(super::component(file.path(), &digest, 8).expect("taken in"), component);
        for (bytes, code) in [
            (b"".as_slice(), "no_wasm"),
            (b"(component)", "no_wasm"),
            (b"\0asm", "no_wasm"),
            (b"\0asm\x01\0\0\0", "core_module"),
            (b"\0asm\x0e\0\x01\0", "no_wasm"),
            (b"\x7fELF\x02\x01\x01", "precompiled"),
        ] {
            let (file, digest) = kept(bytes);
            assert_eq!(super::component(file.path(), &digest, 64).expect_err(code).code, code);
        }
    }

    #[test]
    fn other_content_is_refused() {
        let (file, _) = kept(b"one");
        let (_, digest) = kept(b"two");
        let failure = component(file.path(), &digest, 64).expect_err("refused");
        assert_eq!(failure.code, "digest_mismatch");
    }

    #[test]
    fn a_gigabyte_is_refused_before_it_is_read() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(1 << 30).expect("sparse");
        let (_, digest) = kept(b"");
        let failure = component(file.path(), &digest, 64 << 20).expect_err("refused");
        // The digest would not match either: nothing was read.
        assert_eq!(failure.code, "component_too_large");
    }
}
