//! What there is to complain about, told once for as long as it stays the same.

/// A complaint that lasts, if there is one.
#[derive(Debug, Default)]
pub(super) struct Complaint(Option<String>);

impl Complaint {
    /// There is this to complain about. Is it another than the last time?
    pub(super) fn is_new(&mut self, text: &str) -> bool {
        let is_new = self.0.as_deref() != Some(text);
        if is_new {
            self.0 = Some(text.to_owned());
        }
        is_new
    }

    /// There is nothing to complain about. Was there?
    pub(super) fn ends(&mut self) -> bool {
        self.0.take().is_some()
    }
}
