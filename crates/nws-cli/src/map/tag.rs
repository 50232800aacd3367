//! Lines that begin with whose they are.

/// Puts a tag before each line of an output that comes in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tagger {
    /// Within a line.
    is_within: bool,
}

impl Tagger {
    pub(super) fn piece(&mut self, tag: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mut tagged = Vec::with_capacity(bytes.len() + tag.len() + 1);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !self.is_within {
                tagged.extend_from_slice(tag);
                tagged.push(b'\t');
            }
            tagged.extend_from_slice(line);
            self.is_within = line.last() != Some(&b'\n');
        }
        tagged
    }

    /// The end of a last line that has none: the next tag begins a line.
    pub(super) fn end(&mut self) -> Vec<u8> {
        if std::mem::take(&mut self.is_within) { b"\n".to_vec() } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_its_tag_however_it_is_cut() {
        let text = b"one\n\ntwo\nthree";
        for cut in 1..=text.len() {
            let mut tagger = Tagger::default();
            let mut tagged: Vec<u8> = text.chunks(cut).flat_map(|piece| tagger.piece(b"T", piece)).collect();
            tagged.extend(tagger.end());
            assert_eq!(String::from_utf8(tagged).unwrap(), "T\tone\nT\t\nT\ttwo\nT\tthree\n", "{cut}");
            assert_eq!(tagger.end(), b"");
        }
    }
}
