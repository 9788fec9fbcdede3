//! The metrics and labels that an expression of Prometheus uses.
//!
//! Reads the subset that the dashboard and the alerts need: `by` and `without` come before the argument of
//! their aggregation, and strings contain no escapes.

use std::{collections::BTreeSet, iter::Peekable, str::Chars, vec};

/// A metric in an expression.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) metric: String,
    /// The labels by which it is selected, grouped or matched.
    pub(crate) labels: BTreeSet<String>,
    /// The labels by which it is selected, each with the string of its matcher.
    pub(crate) matchers: Vec<(String, String)>,
}

/// Words that are neither metrics nor followed by labels.
const OPERATORS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Mark(char),
}

type Tokens = Peekable<vec::IntoIter<Token>>;

/// Returns the metrics that an expression uses.
#[track_caller]
pub(crate) fn selectors(expr: &str) -> Vec<Selector> {
    let mut tokens = tokens(expr).into_iter().peekable();
    let mut selectors = Vec::new();
    read(&mut tokens, &mut selectors);
    assert!(tokens.next().is_none() && !selectors.is_empty(), "cannot read {expr:?}");
    selectors
}

/// Returns the labels of the first `by` of an expression, which its result has.
pub(crate) fn groups(expr: &str) -> BTreeSet<String> {
    let mut tokens = tokens(expr).into_iter().peekable();
    let by = tokens.any(|token| token == Token::Word("by".to_owned()));
    if by { labels(&mut tokens) } else { BTreeSet::new() }
}

/// Reads until the parenthesis closes that was open at the start, or to the end.
fn read(tokens: &mut Tokens, selectors: &mut Vec<Selector>) {
    let first = selectors.len();
    let mut matched = BTreeSet::new();
    while let Some(token) = tokens.next_if(|token| *token != Token::Mark(')')) {
        match token {
            Token::Mark('(') => read_group(tokens, selectors),
            Token::Mark(_) | Token::Text(_) => {}
            Token::Word(word) => match &*word {
                "by" | "without" => {
                    let (labels, first) = (labels(tokens), selectors.len());
                    let open = tokens.next();
                    assert_eq!(open, Some(Token::Mark('(')), "`{word}` is not before an argument");
                    read_group(tokens, selectors);
                    add_labels(&mut selectors[first..], &labels);
                }
                "on" | "ignoring" | "group_left" | "group_right" => {
                    matched.append(&mut labels(tokens));
                }
                _ if OPERATORS.contains(&&*word) || is_called(tokens) => {}
                _ => selectors.push(selector(word, tokens)),
            },
        }
    }
    add_labels(&mut selectors[first..], &matched);
}

/// Returns whether the word before is a function or an aggregation.
fn is_called(tokens: &mut Tokens) -> bool {
    let by = |word: &str| matches!(word, "by" | "without");
    tokens.peek().is_some_and(|token| match token {
        Token::Mark(mark) => *mark == '(',
        Token::Word(word) => by(word),
        Token::Text(_) => false,
    })
}

fn read_group(tokens: &mut Tokens, selectors: &mut Vec<Selector>) {
    read(tokens, selectors);
    assert_eq!(tokens.next(), Some(Token::Mark(')')), "a parenthesis is not closed");
}

fn add_labels(selectors: &mut [Selector], labels: &BTreeSet<String>) {
    selectors.iter_mut().for_each(|selector| selector.labels.extend(labels.iter().cloned()));
}

/// Reads a list of labels in parentheses.
fn labels(tokens: &mut Tokens) -> BTreeSet<String> {
    assert_eq!(tokens.next(), Some(Token::Mark('(')), "labels are not in parentheses");
    let list = tokens.by_ref().take_while(|token| *token != Token::Mark(')'));
    list.filter_map(|token| match token {
        Token::Word(label) => Some(label),
        Token::Text(_) | Token::Mark(_) => None,
    })
    .collect()
}

fn selector(metric: String, tokens: &mut Tokens) -> Selector {
    let mut selector = Selector { metric, ..Selector::default() };
    if tokens.next_if_eq(&Token::Mark('{')).is_none() {
        return selector;
    }
    let mut label = String::new();
    for token in tokens.take_while(|token| *token != Token::Mark('}')) {
        match token {
            Token::Word(word) => label = word,
            Token::Text(text) => selector.matchers.push((label.clone(), text)),
            Token::Mark(_) => {}
        }
    }
    selector.labels = selector.matchers.iter().map(|(label, _)| label.clone()).collect();
    selector
}

/// Splits an expression, without its numbers and ranges.
fn tokens(expr: &str) -> Vec<Token> {
    let (mut chars, mut tokens) = (expr.chars().peekable(), Vec::new());
    while let Some(char) = chars.next() {
        match char {
            '[' => drop(until(&mut chars, ']')),
            '"' => tokens.push(Token::Text(until(&mut chars, '"'))),
            _ if is_word(char) => {
                let mut word = char.to_string();
                while let Some(next) = chars.next_if(|next| is_word(*next) || *next == '.') {
                    word.push(next);
                }
                if !char.is_ascii_digit() {
                    tokens.push(Token::Word(word));
                }
            }
            _ if char.is_whitespace() => {}
            _ => tokens.push(Token::Mark(char)),
        }
    }
    tokens
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | ':')
}

fn until(chars: &mut Peekable<Chars<'_>>, end: char) -> String {
    chars.take_while(|char| *char != end).collect()
}

#[test]
fn metrics_are_found_with_their_labels() {
    let found = selectors(
        "sum by (a, b) (rate(first_total{c=\"x|y\", d!=\"\"}[5m])) / on (a) group_left ()\n\
         max by (a) (second) > 0.05 and third",
    );
    let expected = [
        ("first_total", vec!["a", "b", "c", "d"], vec![("c", "x|y"), ("d", "")]),
        ("second", vec!["a"], vec![]),
        ("third", vec!["a"], vec![]),
    ];
    let expected = expected.map(|(metric, labels, matchers)| Selector {
        metric: metric.to_owned(),
        labels: labels.into_iter().map(str::to_owned).collect(),
        matchers: matchers.into_iter().map(|(l, v)| (l.to_owned(), v.to_owned())).collect(),
    });
    assert_eq!(found, expected);
    assert_eq!(groups("max by (a) (b)"), BTreeSet::from(["a".to_owned()]));
}
