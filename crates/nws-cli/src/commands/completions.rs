//! `nws completions`: what a shell needs to complete our command lines.

use clap_complete::Shell;

use crate::exit::Failure;
use crate::manual;

/// Print completions for a shell.
///
/// To have them in each new shell:
///
///     bash: nws completions bash > ~/.local/share/bash-completion/completions/nws
///     zsh:  nws completions zsh > "${fpath[1]}/_nws"
///     fish: nws completions fish > ~/.config/fish/completions/nws.fish
///
/// In this one alone: source <(nws completions bash)
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    manual::completions(arguments.shell)
}
