//! Random changes of inputs, the same at every run.

/// Inputs do not grow beyond this; longer ones only take longer.
const INPUT_BYTES_MAX: usize = 4096;

/// Makes inputs from a corpus. What it made is changed further, so that inputs wander away from the corpus.
pub(crate) struct Mutator<'a> {
    corpus: &'a [Vec<u8>],
    current: Vec<u8>,
    state: u64,
}

impl<'a> Mutator<'a> {
    pub(crate) fn new(corpus: &'a [Vec<u8>]) -> Self {
        Self {
            corpus,
            current: Vec::new(),
            state: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// The next input: one of the corpus or the last, with a few changes.
    pub(crate) fn next_input(&mut self) -> Vec<u8> {
        if self.below(4) != 0 || self.current.is_empty() {
            self.current = self.any_of_corpus().to_vec();
        }
        for _ in 0..=self.below(4) {
            self.change();
        }
        self.current.truncate(INPUT_BYTES_MAX);
        self.current.clone()
    }

    fn change(&mut self) {
        let at = self.below(self.current.len() + 1);
        let end = (at + self.below(24)).min(self.current.len());
        match self.below(7) {
            0 => {
                let byte = self.byte();
                self.current.insert(at, byte);
            }
            1 if at < self.current.len() => self.current[at] = self.byte(),
            2 => drop(self.current.drain(at..end)),
            3 => {
                let part = self.current[at..end].to_vec();
                let to = self.below(self.current.len() + 1);
                self.current.splice(to..to, part);
            }
            4 => self.current.truncate(at),
            _ => {
                let other = self.any_of_corpus();
                let from = self.below(other.len() + 1);
                let to = (from + self.below(48)).min(other.len());
                self.current.splice(at..end, other[from..to].iter().copied());
            }
        }
    }

    /// Often a byte that means something to the language.
    fn byte(&mut self) -> u8 {
        const MEANINGFUL: &[u8] = b"()[]{}<>=!,.:%*&'\"\\ \t\n-#|09a\0\xc3\xff";
        if self.below(4) == 0 {
            u8::try_from(self.below(256)).unwrap_or_default()
        } else {
            MEANINGFUL[self.below(MEANINGFUL.len())]
        }
    }

    fn any_of_corpus(&mut self) -> &'a [u8] {
        let at = self.below(self.corpus.len());
        &self.corpus[at]
    }

    /// A number below `limit`, by xorshift.
    fn below(&mut self, limit: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 32).unwrap_or_default() % limit.max(1)
    }
}
