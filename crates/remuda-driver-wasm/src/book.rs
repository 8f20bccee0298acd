//! What is loaded: decides which version a name means.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use remuda_model::{ClassName, Digest, ErrorKind, Failure};

use crate::{
    spec::{Load, Loaded, Names},
    version::{Compiled, Version},
};

/// Versions of all classes that may be loaded at a time.
const MAX_VERSIONS: usize = 64;

/// What is loaded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    classes: BTreeMap<String, Versions>,
    /// What runs on although it was unloaded or replaced.
    leaving: Vec<Weak<Version>>,
}

#[derive(Clone, Debug)]
struct Versions {
    /// In the order in which they were loaded; never empty.
    all: Vec<Arc<Version>>,
    current: String,
}

impl Versions {
    fn current(&self) -> &Arc<Version> {
        let current = self.all.iter().find(|version| version.names.version == self.current);
        current.unwrap_or(&self.all[0])
    }
}

impl Book {
    /// Whether a component may be loaded under these names.
    pub(crate) fn check(&self, names: &Names, digest: &Digest) -> Result<(), Failure> {
        match self.version(names) {
            Some(version) if version.digest == *digest => Ok(()),
            Some(_) => {
                let text = format!("`{}` is another component already", names.exact());
                Err(Failure::new(ErrorKind::Exists, text)
                    .code("version_exists")
                    .hint("choose another version, or unload that one first"))
            }
            None if self.all().count() >= MAX_VERSIONS => {
                let text = format!("{MAX_VERSIONS} versions of classes are loaded");
                Err(Failure::new(ErrorKind::NoCapacity, text)
                    .code("too_many_classes")
                    .hint("unload some"))
            }
            None => Ok(()),
        }
    }

    /// Adds a version as the newest, or puts it in the place of the one of its names.
    pub(crate) fn add(&mut self, version: Arc<Version>, current: bool) {
        let names = version.names.clone();
        match self.classes.get_mut(&names.name) {
            None => {
                let versions = Versions { all: vec![version], current: names.version };
                self.classes.insert(names.name, versions);
            }
            Some(versions) => {
                let same = |other: &Arc<Version>| other.names == names;
                let old = versions.all.iter().position(same).map(|at| versions.all.remove(at));
                self.leaving.extend(old.as_ref().map(Arc::downgrade));
                versions.all.push(version);
                if current {
                    versions.current = names.version;
                }
            }
        }
    }

    /// Removes a version, or all versions of a name. If the current one goes, the newest that stays
    /// becomes it.
    pub(crate) fn remove(&mut self, name: &str, version: Option<&str>) -> Vec<Arc<Version>> {
        let Some(versions) = self.classes.get_mut(name) else { return Vec::new() };
        let goes =
            |other: &Arc<Version>| version.is_none_or(|wanted| other.names.version == wanted);
        let (gone, stay): (Vec<_>, Vec<_>) = versions.all.drain(..).partition(goes);
        versions.all = stay;
        match versions.all.last() {
            None => drop(self.classes.remove(name)),
            Some(newest) if gone.iter().any(|gone| gone.names.version == versions.current) => {
                versions.current.clone_from(&newest.names.version);
            }
            Some(_) => {}
        }
        self.leaving.retain(|version| version.strong_count() > 0);
        self.leaving.extend(gone.iter().map(Arc::downgrade));
        gone
    }

    /// The version that a plain name means.
    pub(crate) fn current(&self, name: &str) -> Option<&Arc<Version>> {
        self.classes.get(name).map(Versions::current)
    }

    fn version(&self, names: &Names) -> Option<&Arc<Version>> {
        self.classes.get(&names.name)?.all.iter().find(|version| version.names == *names)
    }

    /// The version that a class is.
    pub(crate) fn class(&self, class: &ClassName) -> Option<Arc<Version>> {
        let (name, version) = match class.as_str().split_once(".v") {
            Some((name, version)) => (name, Some(version)),
            None => (class.as_str(), None),
        };
        let versions = self.classes.get(name)?;
        let exact = |wanted| versions.all.iter().find(|other| other.names.version == wanted);
        version.map_or_else(|| Some(versions.current()), exact).cloned()
    }

    /// What came of compiling a component that is loaded already.
    pub(crate) fn compiled(&self, digest: &Digest) -> Option<Compiled> {
        self.all().find(|version| version.digest == *digest).map(|version| version.compiled.clone())
    }

    /// Whether a component is loaded.
    pub(crate) fn uses(&self, digest: &Digest) -> bool {
        self.all().any(|version| version.digest == *digest)
    }

    /// Whether something of a class runs on that is not loaded any more.
    pub(crate) fn is_leaving(&self, name: &str) -> bool {
        let leaving = self.leaving.iter().filter_map(Weak::upgrade);
        leaving.into_iter().any(|version| version.names.name == name)
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Version>> {
        self.classes.values().flat_map(|versions| &versions.all)
    }

    /// All of it, for people.
    pub(crate) fn show(&self) -> Vec<Loaded> {
        let loaded = self.classes.values().flat_map(|versions| {
            let shown = move |version: &Arc<Version>| {
                version.show(version.names.version == versions.current, false)
            };
            versions.all.iter().map(shown)
        });
        let leaving = self.leaving.iter().filter_map(Weak::upgrade);
        let leaving = leaving.filter(|version| version.running_tasks() > 0);
        loaded.chain(leaving.map(|version| version.show(false, true))).collect()
    }

    /// All of it, to be loaded again in this order.
    pub(crate) fn loads(&self) -> Vec<Load> {
        let loads = self.classes.values().flat_map(|versions| {
            versions
                .all
                .iter()
                .map(|version| version.load(version.names.version == versions.current))
        });
        loads.collect()
    }
}
