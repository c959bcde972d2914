//! What others were asked for and have answered: a bounded table, since both questions and answers come from outside.

use std::{borrow::Borrow, hash::Hash};

use hashbrown::HashMap;

use super::workload::Progress;

/// How often one question is asked when there is no answer.
const TRIES_MAX: u8 = 16;

/// Answers by what they are about.
#[derive(Debug)]
pub struct Answers<K, T> {
    by_key: HashMap<K, Entry<T>, foldhash::fast::RandomState>,
    len_max: usize,
    /// Questions that found no room.
    pub refused: u64,
}

#[derive(Debug)]
struct Entry<T> {
    tries: u8,
    is_asked: bool,
    answer: Option<T>,
}

impl<K: Eq + Hash, T> Answers<K, T> {
    /// No questions yet; at most so many.
    #[must_use]
    pub fn new(len_max: usize) -> Self {
        Self {
            by_key: HashMap::default(),
            len_max: len_max.max(1),
            refused: 0,
        }
    }

    /// Notes a question. Returns whether somebody has to look for the answer: it is new, or the last try failed and
    /// there were not too many.
    pub fn want(&mut self, key: K) -> bool {
        self.want_if(key, |_| false)
    }

    /// The same, and asks again where an answer is of no use.
    pub fn want_if(&mut self, key: K, is_useless: impl Fn(&T) -> bool) -> bool {
        let is_full = self.is_full();
        match self.by_key.get_mut(&key) {
            Some(entry) => {
                let is_answered = entry.answer.as_ref().is_some_and(|answer| !is_useless(answer));
                if entry.is_asked || is_answered || entry.tries >= TRIES_MAX {
                    return false;
                }
                entry.tries += 1;
                entry.is_asked = true;
                true
            }
            None if is_full => {
                self.refused += 1;
                false
            }
            None => {
                let entry = Entry {
                    tries: 1,
                    is_asked: true,
                    answer: None,
                };
                self.by_key.insert(key, entry);
                true
            }
        }
    }

    /// Takes in the answer to a question that was asked; `None` when there is none. A former answer outlives that.
    pub fn learn<Q: Eq + Hash + ?Sized>(&mut self, key: &Q, answer: Option<T>)
    where
        K: Borrow<Q>,
    {
        if let Some(entry) = self.by_key.get_mut(key) {
            entry.is_asked = false;
            entry.answer = answer.or(entry.answer.take());
        }
    }

    /// An answer, where there is one.
    #[must_use]
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&T>
    where
        K: Borrow<Q>,
    {
        self.by_key.get(key)?.answer.as_ref()
    }

    /// Whether an answer is still looked for.
    #[must_use]
    pub fn progress<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Progress
    where
        K: Borrow<Q>,
    {
        match self.by_key.get(key) {
            Some(entry) if entry.is_asked && entry.answer.is_none() => Progress::Asked,
            _ => Progress::Done,
        }
    }

    /// Forgets a question and its answer.
    pub fn forget<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.by_key.remove(key);
    }

    /// Forgets what `keep` says no to.
    pub fn retain(&mut self, mut keep: impl FnMut(&K) -> bool) {
        self.by_key.retain(|key, _| keep(key));
    }

    /// All answers.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.by_key.values().filter_map(|entry| entry.answer.as_ref())
    }

    /// Questions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Whether the next new question finds no room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len() >= self.len_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_asked_once_and_again_after_a_failure() {
        let mut answers: Answers<Box<str>, u8> = Answers::new(2);
        assert!(answers.want("a".into()) && !answers.want("a".into()));
        assert_eq!(answers.progress("a"), Progress::Asked);
        answers.learn("a", None);
        assert_eq!(answers.progress("a"), Progress::Done);
        assert!(answers.want("a".into()), "a failure is no answer");
        answers.learn("a", Some(7));
        assert!(!answers.want("a".into()));
        answers.learn("a", None);
        assert_eq!(answers.get("a"), Some(&7));
        assert!(answers.want_if("a".into(), |answer| *answer == 7));
        assert_eq!(answers.progress("a"), Progress::Done, "the former answer holds");
        answers.forget("a");
        assert!(answers.get("a").is_none() && answers.want("a".into()));
        for _ in 0..100 {
            answers.learn("a", None);
            answers.want("a".into());
        }
        answers.learn("a", None);
        assert!(!answers.want("a".into()), "tries have an end");
        assert!(answers.want("b".into()) && answers.is_full() && !answers.want("c".into()));
        assert_eq!(answers.refused, 1);
        answers.retain(|id| **id == *"b");
        assert_eq!(answers.len(), 1);
        answers.learn("c", Some(1));
        assert!(answers.get("c").is_none(), "nobody asked");
    }
}
