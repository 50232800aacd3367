//! A journal that tells the state again from the facts alone.

use std::collections::BTreeMap;

use nws_core::{Fact, Journal};
use nws_proto::{Index, Mode, VariableId};

use crate::model::Wrong;
use crate::value::Value;

/// Where a value is, as the facts say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whereabouts {
    Kept,
    Leased,
    Gone,
}

/// The facts so far, put together.
#[derive(Default)]
pub(super) struct Notes {
    workspaces: BTreeMap<Vec<u8>, Vec<VariableId>>,
    variables: BTreeMap<VariableId, (Option<Mode>, BTreeMap<Index, Whereabouts>)>,
    wrong: Option<Wrong>,
}

impl Notes {
    /// Workspaces, variables, kept values and leased values, as the facts say.
    pub(super) fn counts(&self) -> Result<[usize; 4], Wrong> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        let values =
            |of| self.variables.values().flat_map(|(_, values)| values.values()).filter(|at| **at == of).count();
        let (kept, leased) = (values(Whereabouts::Kept), values(Whereabouts::Leased));
        Ok([self.workspaces.len(), self.variables.len(), kept, leased])
    }

    /// A value goes from one of these places to another.
    fn goes(
        &mut self,
        fact: &Fact<'_, Value>,
        variable: VariableId,
        index: Index,
        from: &[Whereabouts],
        to: Whereabouts,
    ) {
        let values = self.variables.get_mut(&variable).map(|(_, values)| values);
        let place = values.and_then(|values| values.get_mut(&index)).filter(|place| from.contains(place));
        match place {
            Some(place) => *place = to,
            None => self.wrong = Some(format!("{fact:?} cannot follow from the facts before it")),
        }
    }
}

impl Journal<Value> for Notes {
    fn record(&mut self, fact: Fact<'_, Value>) {
        use Whereabouts::{Gone, Kept, Leased};
        match fact {
            Fact::WorkspaceMade { name } => {
                self.workspaces.insert(name.to_vec(), Vec::new());
            }
            Fact::WorkspaceDeleted { name } => {
                self.workspaces.remove(name);
            }
            Fact::WorkspaceOwned { .. } => {}
            Fact::VariableMade { variable, workspace, .. } => {
                self.workspaces.entry(workspace.to_vec()).or_default().push(variable);
                self.variables.insert(variable, (None, BTreeMap::new()));
            }
            Fact::Declare { variable, mode } => match self.variables.get_mut(&variable) {
                Some((has @ None, _)) => *has = Some(mode),
                _ => self.wrong = Some(format!("{fact:?} of a variable that is not there or has a mode")),
            },
            Fact::VariableDeleted { variable } => {
                self.variables.remove(&variable);
            }
            Fact::Put { variable, index, .. } => match self.variables.get_mut(&variable) {
                Some((Some(_), values)) if values.len() as u64 == index.0 => {
                    values.insert(index, Kept);
                }
                _ => self.wrong = Some(format!("{fact:?} is not the next value of a variable with a mode")),
            },
            Fact::Take { variable, index } => self.goes(&fact, variable, index, &[Kept], Gone),
            Fact::Lease { variable, index, .. } => self.goes(&fact, variable, index, &[Kept], Leased),
            Fact::Finish { variable, index } => self.goes(&fact, variable, index, &[Leased], Gone),
            // A value that was taken may turn out not to have been delivered.
            Fact::Restore { variable, index, .. } => self.goes(&fact, variable, index, &[Leased, Gone], Kept),
            Fact::Replaced { variable, index } => self.goes(&fact, variable, index, &[Kept, Leased, Gone], Gone),
        }
    }
}
