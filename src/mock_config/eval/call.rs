//! Calls: of functions by name, and of the methods of values.

use super::Machine;
use super::heap::Item;
use crate::mock_config::ast::{Expr, ExprKind};
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::map::OrderedMap;
use crate::mock_config::source::Span;

/// A call with its arguments evaluated.
pub(super) struct Call {
    /// What is called, as errors say it.
    pub name: String,
    pub items: Vec<Item>,
    pub names: Vec<(String, Item, Span)>,
    /// The first argument's place, or the call's own.
    pub first: Span,
    /// The last argument's place, or the call's own.
    pub last: Span,
    pub span: Span,
}

impl Machine<'_> {
    pub(super) fn call(
        &mut self,
        callee: &Expr,
        args: &[Expr],
        named: &[(String, Expr)],
        span: Span,
    ) -> Outcome<Item> {
        if let ExprKind::Attribute { base, name } = &callee.kind {
            let base = self.eval(base)?;
            return match self.attribute(&base, name, callee.span)? {
                Some(function) => self.invoke(function, name, args, named, callee.span, span),
                None => {
                    let call = self.arguments(name, args, named, span)?;
                    self.method(&base, &call)
                }
            };
        }
        let function = self.eval(callee)?;
        let name = match &callee.kind {
            ExprKind::Name(name) => name,
            _ => "",
        };
        self.invoke(function, name, args, named, callee.span, span)
    }

    fn invoke(
        &mut self,
        function: Item,
        name: &str,
        args: &[Expr],
        named: &[(String, Expr)],
        place: Span,
        span: Span,
    ) -> Outcome<Item> {
        let Item::Function(path) = function else {
            let message = format!("{} cannot be called", function.type_name());
            return Err(Fault::new(ErrorKind::Type, place, message)
                .hint("only methods and functions have parentheses"));
        };
        let call = self.arguments(name, args, named, span)?;
        self.function(path, &call)
    }

    fn arguments(
        &mut self,
        name: &str,
        args: &[Expr],
        named: &[(String, Expr)],
        span: Span,
    ) -> Outcome<Call> {
        let items = self.all(args)?;
        let mut names = Vec::new();
        for (name, value) in named {
            let item = self.eval(value)?;
            if name != "**" {
                names.push((name.clone(), item, value.span));
                continue;
            }
            let Item::Dict(id) = item else {
                let message = format!("`**` needs a dictionary, not {}", item.type_name());
                return Err(Fault::new(ErrorKind::Type, value.span, message));
            };
            let entries = self.heap.dict(id).into_iter().flat_map(OrderedMap::iter);
            for (key, cell) in entries {
                names.push((key.to_text(), cell.item.clone(), cell.span.unwrap_or(value.span)));
            }
            self.heap.budget.spend(names.len() * 64, span)?;
        }
        let first = args.first().map_or(span, |arg| arg.span);
        let last = args.last().map_or(span, |arg| arg.span);
        Ok(Call { name: name.to_owned(), items, names, first, last, span })
    }

    fn method(&mut self, base: &Item, call: &Call) -> Outcome<Item> {
        let found = match base {
            Item::Str(text) => self.string_method(&text.clone(), call)?,
            Item::List(id) => self.list_method(*id, call)?,
            Item::Tuple(items) => self.tuple_method(&items.clone(), call)?,
            Item::Dict(id) => self.dict_method(*id, call)?,
            Item::Set(id) => self.set_method(*id, call)?,
            _ => None,
        };
        found.ok_or_else(|| {
            let message = format!("{} has no method `{}` here", base.type_name(), call.name);
            Fault::new(ErrorKind::Unsupported, call.span, message).hint(match base {
                Item::Str(_) => "strings have the methods of Python's str that make no bytes",
                Item::List(_) | Item::Tuple(_) | Item::Dict(_) | Item::Set(_) => {
                    "lists, tuples, dictionaries and sets have the methods that Python's have"
                }
                _ => "strings, lists, tuples, dictionaries and sets have methods",
            })
        })
    }
}

impl Call {
    /// The arguments in the order of their names, of which the first `required` must be there.
    /// A name that begins with `/` cannot be used as one.
    pub fn bind<const N: usize>(
        &self,
        names: [&str; N],
        required: usize,
    ) -> Outcome<[Option<Item>; N]> {
        if self.items.len() > N {
            return Err(self.wrong_count(required, N));
        }
        let mut out: [Option<Item>; N] = std::array::from_fn(|at| self.items.get(at).cloned());
        for (name, item, span) in &self.names {
            let Some(at) = names.iter().position(|known| known == name) else {
                let message = format!("{}() takes no argument called `{name}`", self.name);
                return Err(Fault::new(ErrorKind::Type, *span, message));
            };
            if out[at].replace(item.clone()).is_some() {
                let message = format!("{}() gets the argument `{name}` twice", self.name);
                return Err(Fault::new(ErrorKind::Type, *span, message));
            }
        }
        if out[..required].iter().any(Option::is_none) {
            return Err(self.wrong_count(required, N));
        }
        Ok(out)
    }

    /// The arguments of a call that takes exactly so many.
    pub fn exactly<const N: usize>(&self) -> Outcome<[Item; N]> {
        Ok(self.bind(["/"; N], N)?.map(|item| item.unwrap_or(Item::None)))
    }

    fn wrong_count(&self, least: usize, most: usize) -> Fault {
        let plural = if most == 1 { "" } else { "s" };
        let wanted = match (least, most) {
            (0, 0) => "no arguments".to_owned(),
            (1, 1) => "one argument".to_owned(),
            _ if least == most => format!("{most} argument{plural}"),
            _ => format!("{least} to {most} argument{plural}"),
        };
        let count = self.items.len() + self.names.len();
        let fault = Fault::new(
            ErrorKind::Type,
            self.span,
            format!("{}() takes {wanted}, not {count}", self.name),
        );
        match self.name.as_str() {
            "append" | "update" => fault
                .hint("several items are added with .extend([…]), several keys with .update({…})"),
            _ => fault,
        }
    }

    /// An argument that must be a string.
    pub fn text<'a>(&self, item: &'a Item) -> Outcome<&'a str> {
        match item {
            Item::Str(text) => Ok(text),
            _ => Err(self.wrong_type("a string", item)),
        }
    }

    /// An argument that must be a whole number.
    pub fn int(&self, item: &Item) -> Outcome<i64> {
        super::ops::integer(item).ok_or_else(|| self.wrong_type("an integer", item))
    }

    pub fn wrong_type(&self, wanted: &str, item: &Item) -> Fault {
        let message = format!("{}() needs {wanted}, not {}", self.name, item.type_name());
        Fault::new(ErrorKind::Type, self.first, message)
    }

    pub fn value(&self, message: impl Into<String>) -> Fault {
        Fault::new(ErrorKind::Value, self.span, message)
    }
}
