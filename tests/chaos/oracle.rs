//! Which answers a packet may have met, by what was done and seen when. Nothing here touches the world.
//!
//! A policy *reigns* from the moment in which it may have come into force first, before the change that brings it, to
//! the moment in which another was seen whole in the kernel. While a change is under way at least two reign. *Damage*
//! lasts from the moment before another program changes the rules to the moment in which they were seen whole again;
//! what a packet meets in the meantime proves nothing.

use std::time::Duration;

use super::policy::Exempt;

/// A moment, counted from the beginning of the run.
pub(crate) type Moment = Duration;

/// What happened to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It kept its source.
    Kept,
    /// It came with an address of the node.
    Masqueraded,
    /// It came with an address that is neither the sender's nor the node's.
    Odd,
}

/// A packet that has arrived. It met the rules at some moment between its two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    /// Its destination's place in [`PROBED`](super::policy::PROBED).
    pub(crate) to: u8,
    pub(crate) number: u64,
    pub(crate) sent: Moment,
    pub(crate) arrived: Moment,
    pub(crate) answer: Answer,
}

/// What is to be said of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The answer is that of the one policy that reigned.
    Settled,
    /// Several reigned, and the answer is that of all of them.
    Agreed,
    /// Several reigned, and the answer is that of one of them.
    EitherOr,
    /// The rules may have been damaged; `right` is whether the answer is right all the same.
    Damaged { right: bool },
    /// No policy that may have been in force gives this answer.
    Wrong,
}

#[derive(Clone, Copy, Debug)]
struct Reign {
    exempt: Exempt,
    from: Moment,
}

#[derive(Clone, Copy, Debug)]
struct Past<T> {
    what: T,
    until: Moment,
}

/// Who reigned when, and when there was damage.
#[derive(Debug)]
pub(crate) struct History {
    reigning: Vec<Reign>,
    damage: Option<Moment>,
    /// In the order of their ends.
    past_reigns: Vec<Past<Reign>>,
    past_damages: Vec<Past<Moment>>,
}

impl History {
    /// Nothing is known yet.
    pub(crate) const fn new() -> Self {
        Self { reigning: Vec::new(), damage: None, past_reigns: Vec::new(), past_damages: Vec::new() }
    }

    /// From now on a policy may come into force.
    pub(crate) fn may_come(&mut self, exempt: Exempt, from: Moment) {
        self.reigning.push(Reign { exempt, from });
    }

    /// From now on the rules may be damaged.
    pub(crate) fn may_be_damaged(&mut self, from: Moment) {
        self.damage.get_or_insert(from);
    }

    /// The policy that may have come last was seen whole at this moment, and no other comes without
    /// [`may_come`](Self::may_come).
    pub(crate) fn stands(&mut self, at: Moment) {
        let Some(mut last) = self.reigning.pop() else { return };
        // It may be one that reigned before, and could come again only later.
        last.from = last.from.min(at);
        self.past_reigns.extend(self.reigning.drain(..).map(|what| Past { what, until: at }));
        self.reigning.push(last);
        self.past_damages.extend(self.damage.take().map(|what| Past { what, until: at }));
    }

    /// How long the rules were damaged, each time.
    pub(crate) fn damages(&self) -> impl Iterator<Item = Duration> {
        self.past_damages.iter().map(|past| past.until.saturating_sub(past.what))
    }

    /// What is to be said of a packet that arrived when all that was done before it is in here.
    pub(crate) fn judge(&self, packet: &Packet) -> Verdict {
        let (mut agree, mut differ) = (0, 0);
        for exempt in self.reigned(packet) {
            let wanted = if exempt & 1 << packet.to == 0 { Answer::Masqueraded } else { Answer::Kept };
            *(if wanted == packet.answer { &mut agree } else { &mut differ }) += 1;
        }
        if packet.answer != Answer::Odd && self.was_damaged(packet) {
            return Verdict::Damaged { right: agree > 0 };
        }
        match (agree, differ) {
            (0, _) => Verdict::Wrong,
            (1, 0) => Verdict::Settled,
            (_, 0) => Verdict::Agreed,
            _ => Verdict::EitherOr,
        }
    }

    /// The policies that the packet may have met.
    pub(crate) fn reigned(&self, packet: &Packet) -> impl Iterator<Item = Exempt> {
        let (sent, arrived) = (packet.sent, packet.arrived);
        let past = self.past_reigns.iter().rev().take_while(move |past| past.until >= sent).map(|past| &past.what);
        let reigns = self.reigning.iter().chain(past).filter(move |reign| reign.from <= arrived);
        reigns.map(|reign| reign.exempt)
    }

    fn was_damaged(&self, packet: &Packet) -> bool {
        let past = self.past_damages.iter().rev().take_while(|past| past.until >= packet.sent).map(|past| past.what);
        self.damage.into_iter().chain(past).any(|from| from <= packet.arrived)
    }
}

/// How many packets there were of each verdict.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally {
    pub(crate) settled: u64,
    pub(crate) agreed: u64,
    pub(crate) either_or: u64,
    pub(crate) damaged_right: u64,
    pub(crate) damaged_wrong: u64,
    pub(crate) wrong: u64,
    /// Of those with one answer only, how many got which: kept, masqueraded.
    pub(crate) answers: [u64; 2],
}

impl Tally {
    pub(crate) const fn new() -> Self {
        Self { settled: 0, agreed: 0, either_or: 0, damaged_right: 0, damaged_wrong: 0, wrong: 0, answers: [0; 2] }
    }

    pub(crate) fn count(&mut self, packet: &Packet, verdict: Verdict) {
        match verdict {
            Verdict::Settled => self.settled += 1,
            Verdict::Agreed => self.agreed += 1,
            Verdict::EitherOr => self.either_or += 1,
            Verdict::Damaged { right: true } => self.damaged_right += 1,
            Verdict::Damaged { right: false } => self.damaged_wrong += 1,
            Verdict::Wrong => self.wrong += 1,
        }
        if matches!(verdict, Verdict::Settled | Verdict::Agreed) {
            self.answers[usize::from(packet.answer == Answer::Masqueraded)] += 1;
        }
    }

    pub(crate) fn arrived(&self) -> u64 {
        let Self { settled, agreed, either_or, damaged_right, damaged_wrong, wrong, answers: _ } = self;
        settled + agreed + either_or + damaged_right + damaged_wrong + wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Answer::{Kept, Masqueraded, Odd};
    use Verdict::{Agreed, Damaged, EitherOr, Settled, Wrong};

    const fn at(ms: u64) -> Moment {
        Duration::from_millis(ms)
    }

    fn judged(history: &History, to: u8, sent: u64, arrived: u64, answer: Answer) -> Verdict {
        history.judge(&Packet { to, number: 0, sent: at(sent), arrived: at(arrived), answer })
    }

    /// One policy exempts the first destination from the beginning on, another the second, which comes between 100 and 200.
    fn one_then_other() -> History {
        let mut history = History::new();
        history.may_come(0b01, at(0));
        history.stands(at(10));
        history.may_come(0b10, at(100));
        history.stands(at(200));
        history
    }

    #[test]
    fn while_one_policy_reigns_its_answer_is_the_only_one() {
        let history = one_then_other();
        for (sent, arrived, kept, masqueraded) in [(20, 99, 0, 1), (201, 300, 1, 0)] {
            for (to, right, wrong) in [(kept, Kept, Masqueraded), (masqueraded, Masqueraded, Kept)] {
                assert_eq!(judged(&history, to, sent, arrived, right), Settled, "{sent} {to}");
                assert_eq!(judged(&history, to, sent, arrived, wrong), Wrong, "{sent} {to}");
            }
            assert_eq!(judged(&history, 2, sent, arrived, Kept), Wrong, "{sent}");
        }
    }

    #[test]
    fn a_packet_that_was_on_its_way_while_the_policy_changed_may_have_met_the_old_or_the_new_and_no_third() {
        let history = one_then_other();
        for (sent, arrived) in [(50, 100), (100, 150), (120, 130), (150, 250), (200, 201), (50, 300)] {
            for to in [0, 1] {
                for answer in [Kept, Masqueraded] {
                    assert_eq!(judged(&history, to, sent, arrived, answer), EitherOr, "{sent} {to}");
                }
            }
            // Both policies want the third masqueraded.
            assert_eq!(judged(&history, 2, sent, arrived, Masqueraded), Agreed, "{sent}");
            assert_eq!(judged(&history, 2, sent, arrived, Kept), Wrong, "{sent}");
        }
    }

    #[test]
    fn changes_that_were_not_waited_for_are_all_possible_until_the_last_was_seen() {
        let mut history = one_then_other();
        history.may_come(0b11, at(300));
        history.may_come(0b00, at(310));
        assert_eq!(judged(&history, 0, 301, 309, Kept), EitherOr);
        assert_eq!(judged(&history, 1, 301, 309, Masqueraded), Wrong, "the third cannot have come yet");
        history.stands(at(400));
        assert_eq!(judged(&history, 0, 390, 399, Kept), EitherOr);
        assert_eq!(judged(&history, 0, 401, 402, Kept), Wrong);
        assert_eq!(judged(&history, 0, 401, 402, Masqueraded), Settled);
    }

    #[test]
    fn a_policy_that_may_come_later_reigns_not_before_that_moment_unless_it_is_seen() {
        let mut history = one_then_other();
        history.may_come(0b11, at(700));
        assert_eq!(judged(&history, 0, 300, 699, Kept), Wrong);
        assert_eq!(judged(&history, 0, 300, 701, Kept), EitherOr);
        history.stands(at(800));
        assert_eq!(judged(&history, 0, 801, 802, Kept), Settled);
        history.may_come(0b11, at(1400));
        history.stands(at(900));
        assert_eq!(judged(&history, 0, 901, 902, Kept), Settled);
        assert_eq!(judged(&history, 0, 901, 902, Masqueraded), Wrong);
    }

    #[test]
    fn while_the_rules_may_be_damaged_everything_is_possible_but_an_address_of_nobody() {
        let mut history = one_then_other();
        history.may_be_damaged(at(300));
        history.may_be_damaged(at(320));
        assert_eq!(judged(&history, 1, 250, 299, Masqueraded), Wrong);
        assert_eq!(judged(&history, 1, 250, 310, Masqueraded), Damaged { right: false });
        history.stands(at(400));
        assert_eq!(judged(&history, 1, 310, 311, Kept), Damaged { right: true });
        assert_eq!(judged(&history, 1, 399, 500, Masqueraded), Damaged { right: false });
        assert_eq!(judged(&history, 1, 401, 500, Masqueraded), Wrong);
        assert_eq!(judged(&history, 1, 310, 311, Odd), Wrong);
        assert_eq!(history.damages().collect::<Vec<_>>(), [at(100)]);
    }
}
