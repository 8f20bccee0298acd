//! The job classes of a node, by name.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use remuda_model::{ClassName, ErrorKind, Failure};

use crate::Class;

/// The job classes of a node. Cheap to clone; all clones are the same table.
///
/// A *fixed* class comes with the program and stays. A *loaded* one may be added, replaced and
/// removed while the node runs. Whoever was handed a class keeps it: requests and tasks end with the
/// one that they began with.
#[derive(Clone, Default)]
pub struct ClassTable(Arc<RwLock<BTreeMap<ClassName, Entry>>>);

#[derive(Clone)]
struct Entry {
    class: Arc<dyn Class>,
    fixed: bool,
}

/// Two fixed classes have the same name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two job classes are called `{0}`")]
pub struct TwoClasses(pub ClassName);

impl ClassTable {
    /// Adds a class that stays. A loaded class of its name makes way.
    ///
    /// # Errors
    ///
    /// When a fixed class has its name.
    pub fn fix(&self, class: Arc<dyn Class>) -> Result<(), TwoClasses> {
        let name = class.name();
        self.write(|classes| {
            if classes.get(&name).is_some_and(|entry| entry.fixed) {
                return Err(TwoClasses(name));
            }
            classes.insert(name, Entry { class, fixed: true });
            Ok(())
        })
    }

    /// Adds a loaded class, or puts it in the place of the loaded one of its name.
    ///
    /// # Errors
    ///
    /// `Conflict` when a fixed class has its name.
    pub fn put(&self, class: Arc<dyn Class>) -> Result<(), Failure> {
        let name = class.name();
        self.write(|classes| {
            if classes.get(&name).is_some_and(|entry| entry.fixed) {
                let text = format!("job class `{name}` comes with the node and cannot be replaced");
                return Err(Failure::new(ErrorKind::Conflict, text)
                    .code("fixed_class")
                    .hint("load it under another name"));
            }
            classes.insert(name, Entry { class, fixed: false });
            Ok(())
        })
    }

    /// Removes a loaded class, unless it is fixed; tells whether it was there.
    pub fn remove(&self, name: &ClassName) -> bool {
        self.write(|classes| match classes.get(name) {
            Some(entry) if !entry.fixed => classes.remove(name).is_some(),
            _ => false,
        })
    }

    /// The class of this name.
    ///
    /// # Errors
    ///
    /// `NotFound` lists the names that there are.
    pub fn get(&self, name: &ClassName) -> Result<Arc<dyn Class>, Failure> {
        let classes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = classes.get(name) {
            return Ok(Arc::clone(&entry.class));
        }
        let known: Vec<_> = classes.keys().map(ClassName::as_str).collect();
        Err(Failure::not_found(format!("this node has no job class `{name}`"))
            .code("unknown_class")
            .hint(format!("it has {}", known.join(", "))))
    }

    /// Whether a class of this name comes with the node.
    pub fn is_fixed(&self, name: &ClassName) -> bool {
        let classes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        classes.get(name).is_some_and(|entry| entry.fixed)
    }

    /// All classes at present, by name.
    pub fn all(&self) -> Vec<(ClassName, Arc<dyn Class>)> {
        let classes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        classes.iter().map(|(name, entry)| (name.clone(), Arc::clone(&entry.class))).collect()
    }

    fn write<T>(&self, change: impl FnOnce(&mut BTreeMap<ClassName, Entry>) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for ClassTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let classes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(classes.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{JobClass, erase};

    struct Fixed;
    struct Loaded;

    macro_rules! class {
        ($class:ident, $name:literal) => {
            impl JobClass for $class {
                const NAME: &'static str = $name;
                type Request = ();
                type Reply = ();
                type Spec = ();
                type Command = ();
                type CommandReply = ();
                type Event = ();
            }
        };
    }
    class!(Fixed, "fixed");
    class!(Loaded, "loaded");

    fn name(text: &str) -> ClassName {
        text.parse().expect("a name")
    }

    #[test]
    fn a_fixed_class_is_neither_doubled_nor_replaced_nor_removed() {
        let table = ClassTable::default();
        table.fix(erase(Fixed)).expect("the first");
        assert_eq!(table.fix(erase(Fixed)), Err(TwoClasses(name("fixed"))));
        assert_eq!(table.put(erase(Fixed)).expect_err("refused").code, "fixed_class");
        assert!(!table.remove(&name("fixed")));
        assert!(table.is_fixed(&name("fixed")));
        assert!(table.get(&name("fixed")).is_ok());
    }

    #[test]
    fn a_loaded_class_is_replaced_and_removed_while_others_hold_it() {
        let (table, loaded) = (ClassTable::default(), name("loaded"));
        let other = table.clone();
        table.put(erase(Loaded)).expect("put");
        let held = other.get(&loaded).expect("the same table");
        table.put(erase(Loaded)).expect("replaced");
        assert!(!Arc::ptr_eq(&held, &table.get(&loaded).expect("the new one")));
        assert!(other.remove(&loaded));
        assert!(!other.remove(&loaded));
        assert_eq!(held.name(), loaded);
    }

    #[test]
    fn who_asks_for_an_unknown_class_hears_which_there_are() {
        let table = ClassTable::default();
        table.fix(erase(Fixed)).expect("fixed");
        table.put(erase(Loaded)).expect("put");
        let failure = table.get(&name("other")).err().expect("unknown");
        assert_eq!(failure.code, "unknown_class");
        assert_eq!(failure.hint.as_deref(), Some("it has fixed, loaded"));
        assert_eq!(table.all().len(), 2);
    }

    #[test]
    fn a_loaded_class_makes_way_for_a_fixed_one() {
        let table = ClassTable::default();
        table.put(erase(Fixed)).expect("put");
        table.fix(erase(Fixed)).expect("fixed");
        assert!(!table.remove(&name("fixed")));
    }
}
