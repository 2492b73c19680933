//! Rust files as tokens: the bodies of macros are read like any other code.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::checkout::{files_below, root};

/// Crates besides the one at the top.
const CRATES: &[&str] = &["benches/proxy/pingora/", "server/", "tests/cluster/", "tests/fuzz/", "tests/loom/"];

/// One Rust file.
pub(crate) struct Source {
    /// From the top of the checkout, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) tokens: Vec<TokenTree>,
}

/// A path as it is used somewhere: `crate::ring::Ring` is `["crate", "ring", "Ring"]`; `self` and `super` are resolved.
pub(crate) type Used = Vec<String>;

// === impl Source ===

impl Source {
    /// Where the file stands in its tree: `proxy/pool` for `src/proxy/pool.rs`.
    pub(crate) fn place(&self) -> &str {
        let path = self.path.strip_suffix(".rs").unwrap();
        ["src/", "server/src/"].iter().find_map(|tree| path.strip_prefix(tree)).unwrap_or(path)
    }

    pub(crate) fn lies_in(&self, place: &str) -> bool {
        self.place().strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    pub(crate) fn is_test(&self) -> bool {
        self.path.contains("tests/") || self.path.ends_with("/tests.rs") || self.text.contains("#[cfg(test)]")
    }

    /// The root of a crate: a library, a program, an integration test or a benchmark.
    pub(crate) fn is_root(&self) -> bool {
        let in_crate = CRATES.iter().find_map(|folder| self.path.strip_prefix(folder)).unwrap_or(&self.path);
        match in_crate.strip_prefix("tests/").or_else(|| in_crate.strip_prefix("benches/")) {
            Some(rest) => !rest.contains('/') || (rest.ends_with("/main.rs") && rest.matches('/').count() == 1),
            None => ["src/lib.rs", "src/main.rs"].contains(&in_crate),
        }
    }

    /// Files that the `mod name;` of this file name.
    pub(crate) fn declared_files(&self) -> BTreeSet<String> {
        let folder = if self.is_root() { parent(&self.path) } else { self.path.strip_suffix(".rs").unwrap() };
        let mut files = BTreeSet::new();
        visit(&self.tokens, &mut |tokens| {
            for three in tokens.windows(3).filter(|three| is_word(three.first(), "mod") && is_punct(three.last(), ';'))
            {
                files.insert(format!("{folder}/{}.rs", three[1]));
            }
        });
        files
    }

    /// Lines before the tests in the file.
    pub(crate) fn lines_without_tests(&self) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        let is_tests = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].contains("mod ") && pair[1].ends_with('{');
        lines.windows(2).position(is_tests).unwrap_or(lines.len())
    }

    /// All paths that the file uses, in declarations, code and macros alike.
    pub(crate) fn uses(&self) -> Vec<Used> {
        let place = self.place();
        let scope = if self.is_root() { Vec::new() } else { place.split('/').map(str::to_owned).collect() };
        let mut uses = Vec::new();
        collect(&self.tokens, &scope, &mut uses);
        uses
    }
}

/// The paths in `tokens`, which stand in the module `scope`.
fn collect(tokens: &[TokenTree], scope: &[String], uses: &mut Vec<Used>) {
    let mut index = 0;
    while index < tokens.len() {
        match &tokens[index] {
            TokenTree::Group(group) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                let is_module = index >= 2 && is_word(tokens.get(index - 2), "mod");
                if is_module && group.delimiter() == Delimiter::Brace {
                    collect(&inner, &[scope, &[tokens[index - 1].to_string()]].concat(), uses);
                } else {
                    collect(&inner, scope, uses);
                }
                index += 1;
            }
            TokenTree::Ident(_) => {
                let is_declared = index > 0 && is_word(tokens.get(index - 1), "use");
                let (paths, next) = read_paths(tokens, index);
                // One word is a name of this file, except where it is imported.
                let paths = paths.into_iter().filter(|path| path.len() > 1 || is_declared);
                uses.extend(paths.map(|path| resolve(path, scope)));
                index = next;
            }
            _ => index += 1,
        }
    }
}

/// The path that begins at `index`, as many as its `{…}` make of it, and where it ends.
fn read_paths(tokens: &[TokenTree], mut index: usize) -> (Vec<Used>, usize) {
    let mut path = Vec::new();
    loop {
        match tokens.get(index) {
            Some(TokenTree::Ident(word)) => path.push(word.to_string()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace && !path.is_empty() => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                let ends = inner.split(|token| is_punct(Some(token), ',')).filter(|branch| !branch.is_empty());
                let ends = ends.flat_map(|branch| read_paths(branch, 0).0);
                return (ends.map(|end| [path.clone(), end].concat()).collect(), index + 1);
            }
            _ => return (vec![path], index + 1), // a glob, or the `<` of a turbofish
        }
        index += 1;
        if !(is_punct(tokens.get(index), ':') && is_punct(tokens.get(index + 1), ':')) {
            return (vec![path], index);
        }
        index += 2;
    }
}

/// `self` and `super` as paths from `crate`.
fn resolve(path: Used, scope: &[String]) -> Used {
    let ups = path.iter().take_while(|word| *word == "super" || *word == "self").count();
    if ups == 0 {
        return path;
    }
    let supers = path[..ups].iter().filter(|word| *word == "super").count();
    let kept = &scope[..scope.len().saturating_sub(supers)];
    [&["crate".to_owned()], kept, &path[ups..]].concat()
}

pub(crate) fn is_word(token: Option<&TokenTree>, word: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(found)) if found == word)
}

pub(crate) fn is_punct(token: Option<&TokenTree>, letter: char) -> bool {
    matches!(token, Some(TokenTree::Punct(found)) if found.as_char() == letter)
}

/// Shows the tokens of every nesting.
pub(crate) fn visit(tokens: &[TokenTree], see: &mut impl FnMut(&[TokenTree])) {
    see(tokens);
    for token in tokens {
        if let TokenTree::Group(group) = token {
            visit(&group.stream().into_iter().collect::<Vec<_>>(), see);
        }
    }
}

/// Every Rust file below these folders.
pub(crate) fn sources(folders: &[&str]) -> Vec<Source> {
    let mut sources = Vec::new();
    for path in folders.iter().flat_map(|folder| files_below(folder)).filter(|path| path.ends_with(".rs")) {
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        let tokens = text.parse::<TokenStream>().unwrap_or_else(|error| panic!("{path}: {error}"));
        sources.push(Source { path, text, tokens: tokens.into_iter().collect() });
    }
    assert!(!sources.is_empty(), "no Rust file below {folders:?}");
    sources
}

pub(crate) fn is_module(name: &str) -> bool {
    root().join(format!("src/{name}.rs")).exists()
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
