//! The job classes of a node, by name.

use std::{collections::BTreeMap, sync::Arc};

use remuda_model::{ClassName, Failure};
use remuda_plugin::Class;

/// The job classes of a node.
pub(crate) struct Registry {
    classes: BTreeMap<ClassName, Arc<dyn Class>>,
}

impl Registry {
    /// The classes by name, or the name that two of them share.
    pub(crate) fn new(classes: Vec<Arc<dyn Class>>) -> Result<Self, ClassName> {
        let mut by_name = BTreeMap::new();
        for class in classes {
            let name = class.name();
            if by_name.insert(name.clone(), class).is_some() {
                return Err(name);
            }
        }
        Ok(Self { classes: by_name })
    }

    /// The class of this name, or a failure that lists the others.
    pub(crate) fn get(&self, name: &ClassName) -> Result<&Arc<dyn Class>, Failure> {
        self.classes.get(name).ok_or_else(|| {
            let known: Vec<_> = self.classes.keys().map(ClassName::as_str).collect();
            Failure::not_found(format!("this node has no job class `{name}`"))
                .code("unknown_class")
                .hint(format!("it has {}", known.join(", ")))
        })
    }

    /// All classes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ClassName, &Arc<dyn Class>)> {
        self.classes.iter()
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.classes.keys()).finish()
    }
}
