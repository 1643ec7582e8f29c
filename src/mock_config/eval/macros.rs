//! RPM macros get their percent sign after each file, as mock does it, so that a later file finds
//! them under the one name.

use super::Machine;
use super::heap::Item;
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::map::{Key, OrderedMap};
use crate::mock_config::source::Span;

impl Machine<'_> {
    pub fn name_macros(&mut self) -> Outcome<()> {
        let root = self.root.and_then(|root| self.heap.dict(root));
        let Some(Item::Dict(id)) =
            root.and_then(|options| options.get_str("macros")).map(|cell| cell.item.clone())
        else {
            return Ok(());
        };
        let cells = self.heap.dict(id).cloned().unwrap_or_default();
        let (mut named, mut renamed) = (OrderedMap::new(), Vec::new());
        for (key, cell) in cells.iter() {
            let span = cell.span.unwrap_or(Span::new(0, 0));
            let Some(name) = key.as_str() else {
                let message = "the name of a macro must be a string";
                return Err(Fault::new(ErrorKind::Type, span, message));
            };
            if name.split_whitespace().count() != 1 || name.trim() != name {
                let message = format!("'{name}' cannot be the name of a macro");
                return Err(Fault::new(ErrorKind::Value, span, message)
                    .hint("a name is one word, for example '%dist'"));
            }
            if !matches!(cell.item, Item::None) && !self.is_true(&cell.item) {
                let message = format!("the macro '{name}' has an empty value");
                return Err(Fault::new(ErrorKind::Value, span, message)
                    .hint("use '%{nil}' for a macro that expands to nothing"));
            }
            if name.starts_with('%') {
                named.insert(key.clone(), cell.clone());
            } else {
                renamed.push((Key::from(format!("%{name}")), cell.clone()));
            }
        }
        for (key, cell) in renamed {
            named.insert(key, cell);
        }
        self.heap.replace_dict(id, named);
        Ok(())
    }
}
