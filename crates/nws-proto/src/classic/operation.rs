//! What a classic client can ask, and how it is named.

use alloc::vec::Vec;

use super::decode::{BadRequest, Fate};
use crate::{Descriptor, Index, Item, Mode, OpenMode, VariableId};

/// A variable as a classic client names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableName {
    /// The workspace's name; what this connection opened under it is meant.
    pub workspace: Vec<u8>,
    /// The variable's name.
    pub variable: Vec<u8>,
}

/// Where an iterated retrieval goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the oldest value kept.
    Oldest,
    /// After this value of this instance of the variable; `None` where the id can be nobody's.
    After(Option<VariableId>, Index),
}

/// A value that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Brought {
    /// Its bytes.
    Here(Vec<u8>),
    /// They were handed to [`super::Intake::spool`].
    Spooled,
}

/// What a classic client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `open ws` and `use ws`.
    Open {
        /// The workspace's name.
        name: Vec<u8>,
        /// What the client calls itself as an owner.
        label: Vec<u8>,
        /// Whether it is willing to own it.
        mode: OpenMode,
        /// Whether to make it where there is none.
        create: bool,
    },
    /// `delete ws`.
    DeleteWorkspace {
        /// The workspace's name.
        name: Vec<u8>,
    },
    /// `mktemp ws`.
    MakeTemporary {
        /// A printf format with one integer conversion.
        template: Vec<u8>,
    },
    /// `list wss`.
    ListWorkspaces {
        /// Only this one.
        name: Option<Vec<u8>>,
    },
    /// `declare var`.
    Declare {
        /// Which.
        variable: VariableName,
        /// `None` where the client named a mode that there is not.
        mode: Option<Mode>,
    },
    /// `store`.
    Store {
        /// Where to.
        variable: VariableName,
        /// `None` where the server let the value go by.
        item: Option<Item<Brought>>,
        /// Only if this is the variable; the inner `None` is an id that can be nobody's.
        only: Option<Option<VariableId>>,
    },
    /// `fetch`, `find` and their iterated and Try forms.
    Retrieve {
        /// Where from.
        variable: VariableName,
        /// Take the value away.
        take: bool,
        /// Wait until there is one.
        wait: bool,
        /// Where to go on, in the iterated forms.
        iterated: Option<Start>,
    },
    /// `delete var`.
    DeleteVariable {
        /// Which.
        variable: VariableName,
    },
    /// `list vars`.
    ListVariables {
        /// The workspace's name.
        workspace: Vec<u8>,
    },
}

impl Request {
    /// Whether the reply is a value; else it is a bare status.
    pub fn replies_with_value(&self) -> bool {
        matches!(
            self,
            Request::MakeTemporary { .. }
                | Request::ListWorkspaces { .. }
                | Request::Retrieve { .. }
                | Request::ListVariables { .. }
        )
    }
}

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bytes as they are.
    Name,
    /// `yes` or `no`.
    YesNo,
    /// A number of 32 bits.
    Descriptor,
    /// A number.
    Index,
    /// A variable's id, or blanks.
    Id,
    /// The value; any length.
    Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Open,
    Use,
    DeleteWorkspace,
    MakeTemporary,
    ListWorkspaces,
    Declare,
    Store,
    Retrieve { take: bool, wait: bool },
    Iterate { take: bool, wait: bool },
    DeleteVariable,
    ListVariables,
}

/// An operation: its name, what follows the name, and how much of that must be there.
#[derive(Debug)]
pub(super) struct Operation {
    name: &'static [u8],
    pub(super) arguments: &'static [Kind],
    pub(super) needed: usize,
    action: Action,
}

const NAME_TWICE: &[Kind] = &[Kind::Name, Kind::Name];
const OPEN: &[Kind] = &[Kind::Name, Kind::Name, Kind::YesNo, Kind::YesNo];
const ITERATE: &[Kind] = &[Kind::Name, Kind::Name, Kind::Id, Kind::Index];
const STORE: &[Kind] = &[Kind::Name, Kind::Name, Kind::Descriptor, Kind::Value, Kind::Id];
const DECLARE: &[Kind] = &[Kind::Name, Kind::Name, Kind::Name];

const fn operation(name: &'static str, arguments: &'static [Kind], needed: usize, action: Action) -> Operation {
    Operation { name: name.as_bytes(), arguments, needed, action }
}

const OPERATIONS: [Operation; 17] = [
    operation("open ws", OPEN, 3, Action::Open),
    operation("use ws", OPEN, 3, Action::Use),
    operation("delete ws", &[Kind::Name], 1, Action::DeleteWorkspace),
    operation("mktemp ws", &[Kind::Name], 0, Action::MakeTemporary),
    operation("list wss", &[Kind::Name], 0, Action::ListWorkspaces),
    operation("declare var", DECLARE, 3, Action::Declare),
    operation("store", STORE, 4, Action::Store),
    operation("fetch", NAME_TWICE, 2, Action::Retrieve { take: true, wait: true }),
    operation("fetchTry", NAME_TWICE, 2, Action::Retrieve { take: true, wait: false }),
    operation("find", NAME_TWICE, 2, Action::Retrieve { take: false, wait: true }),
    operation("findTry", NAME_TWICE, 2, Action::Retrieve { take: false, wait: false }),
    operation("ifetch", ITERATE, 4, Action::Iterate { take: true, wait: true }),
    operation("ifetchTry", ITERATE, 4, Action::Iterate { take: true, wait: false }),
    operation("ifind", ITERATE, 4, Action::Iterate { take: false, wait: true }),
    operation("ifindTry", ITERATE, 4, Action::Iterate { take: false, wait: false }),
    operation("delete var", NAME_TWICE, 2, Action::DeleteVariable),
    operation("list vars", &[Kind::Name], 1, Action::ListVariables),
];

/// Longest name of an operation, in bytes.
pub(super) const OPERATION_BYTES: u64 = 11;
/// Most arguments, the operation's name among them.
pub(super) const ARGUMENTS: usize = STORE.len() + 1;
/// Longest number or id, in bytes.
const NUMBER_BYTES: usize = 20;

impl Operation {
    pub(super) fn named(name: &[u8]) -> Option<&'static Operation> {
        OPERATIONS.iter().find(|operation| operation.name == name)
    }

    /// The request that these arguments make, which were checked one by one as they came.
    pub(super) fn request(&self, arguments: Vec<Vec<u8>>, fate: Fate) -> Result<Request, BadRequest> {
        let mut rest = Arguments(arguments.into_iter());
        Ok(match self.action {
            Action::Open | Action::Use => {
                let (name, label) = (rest.bytes(), rest.bytes());
                let (persistent, create) = (yes(rest.next())?, yes(rest.next())?);
                let own = OpenMode::Own { persistent: persistent.unwrap_or(false) };
                let mode = if self.action == Action::Open { own } else { OpenMode::Use };
                Request::Open { name, label, mode, create: create.unwrap_or(true) }
            }
            Action::DeleteWorkspace => Request::DeleteWorkspace { name: rest.bytes() },
            Action::MakeTemporary => {
                let template = rest.next().unwrap_or_else(|| super::DEFAULT_TEMPLATE.to_vec());
                Request::MakeTemporary { template }
            }
            Action::ListWorkspaces => Request::ListWorkspaces { name: rest.next() },
            Action::Declare => Request::Declare { variable: rest.variable(), mode: Mode::from_name(&rest.bytes()) },
            Action::Store => {
                let (variable, descriptor, value) = (rest.variable(), descriptor(&rest.bytes())?, rest.bytes());
                let value = match fate {
                    Fate::Kept => Some(Brought::Here(value)),
                    Fate::Spooled => Some(Brought::Spooled),
                    Fate::Skipped => None,
                };
                let item = value.map(|value| Item { descriptor, value });
                // Blanks name no variable, so they ask for none.
                let only = rest.next().filter(|id| !is_blank(id)).map(|id| variable_id(&id));
                Request::Store { variable, item, only }
            }
            Action::Retrieve { take, wait } => {
                Request::Retrieve { variable: rest.variable(), take, wait, iterated: None }
            }
            Action::Iterate { take, wait } => {
                let (variable, id, index) = (rest.variable(), rest.bytes(), index(&rest.bytes())?);
                let start = if is_blank(&id) { Start::Oldest } else { Start::After(variable_id(&id), index) };
                Request::Retrieve { variable, take, wait, iterated: Some(start) }
            }
            Action::DeleteVariable => Request::DeleteVariable { variable: rest.variable() },
            Action::ListVariables => Request::ListVariables { workspace: rest.bytes() },
        })
    }
}

struct Arguments(alloc::vec::IntoIter<Vec<u8>>);

impl Arguments {
    fn next(&mut self) -> Option<Vec<u8>> {
        self.0.next()
    }

    fn bytes(&mut self) -> Vec<u8> {
        self.next().unwrap_or_default()
    }

    fn variable(&mut self) -> VariableName {
        VariableName { workspace: self.bytes(), variable: self.bytes() }
    }
}

/// Whether an argument can be what it is to be, as far as its own bytes tell.
pub(super) fn check(kind: Kind, argument: &[u8]) -> Result<(), BadRequest> {
    match kind {
        Kind::Name | Kind::Id | Kind::Value => Ok(()),
        Kind::YesNo => yes(Some(argument.to_vec())).map(drop),
        Kind::Descriptor => descriptor(argument).map(drop),
        Kind::Index => index(argument).map(drop),
    }
}

fn yes(argument: Option<Vec<u8>>) -> Result<Option<bool>, BadRequest> {
    match argument.as_deref() {
        None => Ok(None),
        Some(b"yes") => Ok(Some(true)),
        Some(b"no") => Ok(Some(false)),
        Some(other) => Err(BadRequest::new("yes or no", other)),
    }
}

fn descriptor(argument: &[u8]) -> Result<Descriptor, BadRequest> {
    let number = number(argument).and_then(|number| u32::try_from(number).ok());
    number.map(Descriptor).ok_or_else(|| BadRequest::new("a descriptor of 32 bits, in digits", argument))
}

fn index(argument: &[u8]) -> Result<Index, BadRequest> {
    number(argument).map(Index).ok_or_else(|| BadRequest::new("a value's index, in digits", argument))
}

/// The number that these digits are; spaces around them do not count.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    let digits = text.trim_ascii();
    let plain = text.len() <= NUMBER_BYTES && text.iter().all(|byte| byte.is_ascii_digit() || *byte == b' ');
    if !plain || digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        // A space between digits is smaller than 0.
        let digit = digit.checked_sub(b'0')?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

fn is_blank(id: &[u8]) -> bool {
    id.iter().all(|byte| *byte == b' ')
}

/// The variable whose id is written like this; `None` for what no id looks like.
fn variable_id(text: &[u8]) -> Option<VariableId> {
    let digits = text.trim_ascii_end();
    let canonical = digits.iter().all(u8::is_ascii_digit) && digits.first() != Some(&b'0');
    number(text).filter(|_| canonical).map(VariableId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_of_an_operation_is_known() {
        let longest = OPERATIONS.iter().map(|operation| operation.name.len() as u64).max();
        assert_eq!(longest, Some(OPERATION_BYTES));
        let most = OPERATIONS.iter().map(|operation| operation.arguments.len() + 1).max();
        assert_eq!(most, Some(ARGUMENTS));
    }

    #[test]
    fn numbers_are_digits_with_spaces_around_them() {
        let cases: [(&[u8], Option<u64>); 14] = [
            (b"00000000000000000007", Some(7)),
            (b"                   7", Some(7)),
            (b"7                   ", Some(7)),
            (b"7", Some(7)),
            (b"18446744073709551615", Some(u64::MAX)),
            (b"18446744073709551616", None),
            (b"99999999999999999999", None),
            (b"                    ", None),
            (b"", None),
            (b"1 2", None),
            (b"-7", None),
            (b"+7", None),
            (b"7\n", None),
            (b"000000000000000000007", None),
        ];
        for (text, expected) in cases {
            assert_eq!(number(text), expected, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn an_id_is_written_in_one_way_only() {
        assert_eq!(variable_id(b"4294967296          "), Some(VariableId(1 << 32)));
        assert_eq!(variable_id(b"4294967296"), Some(VariableId(1 << 32)));
        for other in [&b"04294967296"[..], b" 4294967296", b"x", b"1 2", b"429496729600000000000000", b"7\t"] {
            assert_eq!(variable_id(other), None, "{}", other.escape_ascii());
        }
    }
}
