//! Columns for people.

/// Rows of the same number of fields, each column as wide as its widest field.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|field| field.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (field, width) in row.iter().zip(&widths) {
            line.push_str(field);
            line.extend(std::iter::repeat_n(' ', width + 2 - field.chars().count()));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_as_wide_as_they_need() {
        let rows = [vec!["a".to_owned(), "bb".to_owned()], vec!["äää".to_owned(), String::new()]];
        assert_eq!(super::aligned(&rows), "a    bb\näää\n");
    }
}
