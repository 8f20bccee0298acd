//! Hostile paths, links and things that are no files.

use std::{fs, os::unix::fs::symlink};

use proptest::prelude::*;
use remuda_model::{ErrorKind, Failure};
use tempfile::TempDir;

use super::*;

fn place() -> (TempDir, Roots, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().canonicalize().expect("is there");
    fs::create_dir(root.join("kept")).expect("makes");
    let roots = Roots::open(std::slice::from_ref(&root), &[root.join("kept")]).expect("opens");
    let text = root.to_str().expect("text").to_owned();
    (dir, roots, text)
}

fn code(error: PathError) -> String {
    Failure::from(error).code
}

#[test]
fn a_path_that_breaks_a_rule_is_refused_before_anything_is_opened() {
    let (_dir, roots, root) = place();
    let long_name = format!("{root}/{}", "x".repeat(256));
    let long = format!("{root}{}", "/x".repeat(2500));
    for bad in
        ["", "x", "../x", &format!("{root}/../x"), &format!("{root}/a\0b"), &long, &long_name]
    {
        assert_eq!(code(roots.locate(bad).expect_err("is refused")), "bad_path", "{bad:?}");
    }
    for outside in ["/", "/etc/passwd", &format!("{root}x"), &format!("{root}/kept/key")] {
        let error = roots.locate(outside).expect_err("is refused");
        assert_eq!(code(error), "path_outside", "{outside}");
    }
}

#[test]
fn no_link_is_followed() {
    let (dir, roots, root) = place();
    let outside = tempfile::tempdir().expect("a directory");
    fs::write(outside.path().join("secret"), "x").expect("writes");
    symlink(outside.path(), dir.path().join("way")).expect("links");
    symlink(outside.path().join("secret"), dir.path().join("file")).expect("links");
    for path in ["way/secret", "file"] {
        let path = format!("{root}/{path}");
        let located = roots.locate(&path).expect("its text is good");
        assert_eq!(code(located.open_file().expect_err("is refused")), "path_symlink", "{path}");
        assert_eq!(code(located.make_place("n").expect_err("is refused")), "path_symlink");
    }
    let through = roots.locate(&format!("{root}/way/new/file")).expect("its text is good");
    assert_eq!(code(through.make_place("n").expect_err("is refused")), "path_symlink");
    assert!(!outside.path().join("new").exists());
}

#[test]
fn only_regular_files_are_files() {
    let (dir, roots, root) = place();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.path().join("pipe"),
        FileType::Fifo,
        Mode::from_raw_mode(0o600),
        0,
    )
    .expect("makes a pipe");
    for path in [root.clone(), format!("{root}/pipe"), format!("{root}/pipe/")] {
        let located = roots.locate(&path).expect("its text is good");
        let failure = Failure::from(located.open_file().expect_err("is refused"));
        assert_eq!(failure.kind, ErrorKind::Invalid, "{path}");
    }
    let missing = roots.locate(&format!("{root}/missing")).expect("its text is good");
    let failure = Failure::from(missing.open_file().expect_err("is not there"));
    assert_eq!(failure.kind, ErrorKind::NotFound);
}

#[test]
fn directories_take_files_under_their_own_name() {
    let (dir, roots, root) = place();
    fs::create_dir(dir.path().join("models")).expect("makes");
    for (path, name) in
        [("models", "a.bin"), ("models/", "a.bin"), ("new/", "a.bin"), ("new/b.bin", "b.bin")]
    {
        let located = roots.locate(&format!("{root}/{path}")).expect("good");
        let place = located.make_place("a.bin").expect("opens");
        assert_eq!(place.name, name, "{path}");
        assert_eq!(Path::new(place.path()).file_name().expect("has one"), name);
    }
    assert!(dir.path().join("new").is_dir());
    let located = roots.locate(&format!("{root}/models/")).expect("good");
    assert_eq!(code(located.make_place("").expect_err("is refused")), "no_file");
    for name in [".", "..", "a/b", "a\0"] {
        assert_eq!(code(located.make_place(name).expect_err("is refused")), "bad_path");
    }
}

#[test]
fn the_deepest_root_serves() {
    let (dir, _roots, root) = place();
    fs::create_dir(dir.path().join("inner")).expect("makes");
    let inner = dir.path().join("inner");
    let roots = Roots::open(&[dir.path().into(), inner.clone()], &[]).expect("opens");
    fs::write(inner.join("x"), "1").expect("writes");
    let located = roots.locate(&format!("{root}/./inner//x")).expect("good");
    assert_eq!(located.names.as_slice(), ["x"]);
    assert_eq!(located.open_file().expect("opens").1.size, 1);
}

proptest! {
    #[test]
    fn no_text_leads_out_of_the_root(text in "(/|\\.\\.|\\.|a|kept|\u{e4}|\\PC){0,12}") {
        let (_dir, roots, root) = place();
        if let Ok(located) = roots.locate(&format!("{root}/{text}")) {
            prop_assert!(!located.names.as_slice().iter().any(|name| name == ".." || name.contains('/')));
            prop_assert!(located.names.as_slice().first().is_none_or(|name| name != "kept"));
        }
    }
}
