//! A program as the kernel is told of it: made before the fork, as a child may allocate nothing.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Where programs are looked for when nobody says so.
const USUAL_PATH: &[u8] = b"/bin:/usr/bin";

/// What is to be executed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// Where it may be, to be tried in this order.
    pub(crate) paths: Vec<CString>,
    /// The name that it is told to have, and its arguments.
    pub(crate) arguments: Vec<CString>,
    pub(crate) environment: Vec<CString>,
    /// Where it starts, if not in our folder.
    pub(crate) folder: Option<CString>,
}

impl Image {
    /// Looks a program up in the `PATH` of its own environment, as `execvp` does: `changes` are made to
    /// ours.
    ///
    /// # Errors
    /// `NotFound` for an empty name, `InvalidInput` where something holds a byte 0.
    pub(crate) fn new(
        program: &OsStr,
        arg0: Option<&OsStr>,
        arguments: &[OsString],
        changes: &[(OsString, Option<OsString>)],
        folder: Option<&Path>,
    ) -> io::Result<Self> {
        let variables = changed(std::env::vars_os().collect(), changes);
        let path = variables.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
        let arguments = [arg0.unwrap_or(program)].into_iter().chain(arguments.iter().map(OsString::as_os_str));
        Ok(Self {
            paths: places(program, path)?,
            arguments: arguments.map(|argument| text(argument.as_bytes())).collect::<io::Result<_>>()?,
            environment: variables
                .iter()
                .map(|(name, value)| text(&[name.as_bytes(), b"=", value.as_bytes()].concat()))
                .collect::<io::Result<_>>()?,
            folder: folder.map(|folder| text(folder.as_os_str().as_bytes())).transpose()?,
        })
    }
}

fn changed(
    mut variables: Vec<(OsString, OsString)>,
    changes: &[(OsString, Option<OsString>)],
) -> Vec<(OsString, OsString)> {
    for (name, value) in changes {
        variables.retain(|(other, _)| other != name);
        variables.extend(value.iter().map(|value| (name.clone(), value.clone())));
    }
    variables
}

/// Where a program of this name may be.
fn places(program: &OsStr, path: Option<&OsStr>) -> io::Result<Vec<CString>> {
    let name = program.as_bytes();
    if name.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    if name.contains(&b'/') {
        return Ok(vec![text(name)?]);
    }
    let folders = path.map_or(USUAL_PATH, OsStr::as_bytes).split(|byte| *byte == b':');
    // An empty one is the folder that the program is started in.
    folders.map(|folder| text(&[folder, if folder.is_empty() { b"" } else { b"/" }, name].concat())).collect()
}

fn text(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| {
        let bytes = String::from_utf8_lossy(bytes);
        let shown: String = bytes.chars().take(100).collect();
        let problem = format!("expected names, arguments and values without a nul byte, got {shown:?}: take it out");
        io::Error::new(io::ErrorKind::InvalidInput, problem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(program: &str, path: Option<&str>) -> Vec<String> {
        let places = places(program.as_ref(), path.map(OsStr::new)).unwrap();
        places.into_iter().map(|place| place.into_string().unwrap()).collect()
    }

    #[test]
    fn programs_are_looked_for_where_a_shell_looks() {
        assert_eq!(found("ls", Some("/a:/b/:")), ["/a/ls", "/b//ls", "ls"]);
        assert_eq!(found("ls", Some("")), ["ls"]);
        assert_eq!(found("ls", None), ["/bin/ls", "/usr/bin/ls"]);
        assert_eq!(found("./ls", Some("/a")), ["./ls"]);
        assert_eq!(places("".as_ref(), None).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn changes_replace_add_and_remove() {
        let pair = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let before = vec![pair("A", "1"), pair("B", "2"), pair("C", "3")];
        let changes = [("B".into(), Some("b".into())), ("C".into(), None), ("D".into(), Some("".into()))];
        assert_eq!(changed(before, &changes), [pair("A", "1"), pair("B", "b"), pair("D", "")]);
    }

    #[test]
    fn the_program_is_found_by_the_path_that_it_will_have_itself() {
        let changes = [("PATH".into(), Some("/only".into()))];
        let image = Image::new("prog".as_ref(), Some("name".as_ref()), &["x".into()], &changes, None).unwrap();
        assert_eq!(image.paths, [CString::from(c"/only/prog")]);
        assert_eq!(image.arguments, [CString::from(c"name"), CString::from(c"x")]);
        assert!(image.environment.contains(&CString::from(c"PATH=/only")));
    }

    #[test]
    fn what_holds_a_byte_0_is_refused() {
        let error = Image::new("prog".as_ref(), None, &["a\0b".into()], &[], None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("nul byte"), "{error}");
    }
}
