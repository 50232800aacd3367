//! The words of a folder of texts, one task a file: `words FOLDER [HOW_MANY]`.

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::{fs, io};

use nws::sleigh::Sleigh;

/// How often each word stands in a file. A word is what is between other things than letters a to z.
#[nws::task]
fn count_words(file: &Path) -> io::Result<HashMap<String, u64>> {
    let text = fs::read(file)?.to_ascii_lowercase();
    let mut counts = HashMap::new();
    for word in text.split(|byte| !byte.is_ascii_lowercase()).filter(|word| !word.is_empty()) {
        *counts.entry(String::from_utf8_lossy(word).into_owned()).or_default() += 1;
    }
    Ok(counts)
}

/// The texts in a folder and in those within it, in order.
fn texts(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(texts(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "txt" || extension == "md") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[nws::main]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = arguments.first().ok_or("expected a folder: words FOLDER [HOW_MANY]")?;
    let how_many = arguments.get(1).map_or(Ok(10), |text| text.parse())?;
    let files = texts(Path::new(folder))?;

    let mut counts: HashMap<String, u64> = HashMap::new();
    let mut unread = Vec::new();
    let sleigh = Sleigh::builder().build()?;
    // What comes is added at once: the words of all files are never here at a time.
    sleigh.call(count_words::task()).each_elem_into(&files, |index, outcome| match outcome {
        Ok(words) => words.into_iter().for_each(|(word, count)| *counts.entry(word).or_default() += count),
        Err(_) => unread.push(&files[index as usize]),
    })?;

    let mut sorted: Vec<_> = counts.iter().collect();
    sorted.sort_by_key(|&(word, count)| (std::cmp::Reverse(count), word));
    let all: u64 = counts.values().sum();
    println!("{all} words, {} different ones, in {} files", counts.len(), files.len() - unread.len());
    sorted.iter().take(how_many).for_each(|(word, count)| println!("{count:8} {word}"));
    unread.sort();
    unread.iter().for_each(|file| println!("cannot be read: {}", file.display()));
    Ok(())
}
