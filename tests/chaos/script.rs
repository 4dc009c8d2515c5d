//! What happens, in which order and with which pauses: decided by a seed alone, never by what the world does.

use std::time::Duration;

use super::event::{DORMANT, Event, FileChange, HARMLESS, How, INTERFACES, LEGACY, Step};
use super::layout::Layout;
use super::policy::{self, Policy};
use super::random::Random;
use super::support::damage::{COMPAT, Damage, NATIVE};
use super::support::tables::FAMILIES;
use super::trouble::Trouble;

/// The agent makes eight repairs at once and then begins to wait, until the operator sends SIGHUP. One damage may be
/// repaired in two steps.
const DAMAGES_BEFORE_RELOAD: u32 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Edit,
    Spoil,
    Delete,
    Damage,
    Harmless,
    Storm,
    Kill,
    Terminate,
    Freeze,
    Reload,
    SecondStarts,
    SecondEnds,
    Interfaces,
    Begins,
    Ends,
    Huge,
    Legacy,
}

/// By how much each is likelier than the others.
const KINDS: [(Kind, u32); 17] = [
    (Kind::Edit, 34),
    (Kind::Spoil, 5),
    (Kind::Delete, 4),
    (Kind::Damage, 22),
    (Kind::Harmless, 7),
    (Kind::Storm, 2),
    (Kind::Kill, 5),
    (Kind::Terminate, 4),
    (Kind::Freeze, 4),
    (Kind::Reload, 3),
    (Kind::SecondStarts, 3),
    (Kind::SecondEnds, 4),
    (Kind::Interfaces, 3),
    (Kind::Begins, 16),
    (Kind::Ends, 9),
    (Kind::Huge, 5),
    (Kind::Legacy, 3),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Running,
    Frozen,
    Dead,
}

/// The file, for the agent that runs or comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum File {
    Good,
    /// It is bad or missing; the running agent has read a better one.
    Bad,
    /// It was so already when the agent started, which falls back on the rules that it finds, or on the saved
    /// configuration.
    Degraded,
}

/// The second agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Second {
    Absent,
    /// It has the file that the first one has.
    InStep,
    /// The file has changed since it was started, and it may come back to what it read first.
    Behind,
}

/// The steps, without end. It keeps in mind what they lead to, so that each makes sense, and so that what the kernel shows
/// tells whether all has come to rest.
#[derive(Debug)]
pub(crate) struct Script {
    random: Random,
    layout: Layout,
    number: u32,
    file: File,
    /// Whether the file has changed, or the rules were damaged, since all was at rest.
    is_open: bool,
    life: Life,
    /// Whether the agent has been started since all was at rest.
    is_fresh: bool,
    second: Second,
    damages: u32,
    /// Those that may happen, and those of them that have begun.
    troubles: Vec<Trouble>,
    begun: Vec<Trouble>,
    /// Those that have not happened yet, in the order in which they should.
    due: Vec<Trouble>,
    /// Whether nothing could be saved when all was at rest last.
    is_unsaved: bool,
}

impl Script {
    /// The agent is running with a policy of its own.
    pub(crate) fn new(seed: u64, layout: Layout, troubles: Vec<Trouble>) -> Self {
        let mut random = Random::new(seed ^ (layout as u64) << 56);
        let due = random.shuffled(&troubles);
        Self {
            random,
            layout,
            number: 0,
            file: File::Good,
            is_open: false,
            life: Life::Running,
            is_fresh: false,
            second: Second::Absent,
            damages: 0,
            troubles,
            begun: Vec::new(),
            due,
            is_unsaved: false,
        }
    }

    /// A policy that has not been before.
    pub(crate) fn policy(&mut self) -> Policy {
        self.number += 1;
        Policy::random(&mut self.random, self.number, self.layout.most_ranges())
    }

    fn bad(&mut self) -> String {
        self.number += 1;
        policy::bad(&mut self.random, self.number)
    }

    /// What happens next.
    pub(crate) fn step(&mut self) -> Step {
        let may_settle = self.may_settle();
        let (event, must_settle) = if self.life != Life::Running && self.random.probability(40) {
            (if self.life == Life::Dead { Event::Start } else { Event::Thaw }, false)
        } else if self.second == Second::Behind && self.random.probability(30) {
            (Event::SecondEnds, false)
        } else if let Some(trouble) = self.in_the_way().filter(|_| self.random.probability(30)) {
            (Event::Ends(trouble), false)
        } else if self.has_begun(Trouble::Memory) && self.makes_sense(Kind::Huge) && self.random.probability(20) {
            (self.event(Kind::Huge), self.must_settle(Kind::Huge))
        } else if let Some(kind) = self.due().filter(|_| self.random.probability(40)) {
            (self.event(kind), self.must_settle(kind))
        } else {
            let kind = loop {
                let kind = self.kind();
                if self.makes_sense(kind) {
                    break kind;
                }
            };
            if kind == Kind::Damage && self.damages >= DAMAGES_BEFORE_RELOAD && self.makes_sense(Kind::Reload) {
                (Event::Reload, self.is_fresh)
            } else {
                (self.event(kind), self.must_settle(kind))
            }
        };
        let settled = may_settle && (self.random.probability(75) || must_settle);
        if settled {
            (self.is_open, self.is_fresh) = (false, false);
            self.is_unsaved = self.has_begun(Trouble::StateDisk);
        }
        self.remember(&event);
        let longest = self.random.pick(&[0, 1, 20, 100]);
        Step { settled, pause: Duration::from_micros(u64::from(self.random.below(longest * 1_000 + 1))), event }
    }

    /// Whether all comes to rest by itself.
    fn may_settle(&self) -> bool {
        self.life == Life::Running && self.second != Second::Behind && self.in_the_way().is_none()
    }

    /// What keeps all from coming to rest.
    fn in_the_way(&self) -> Option<Trouble> {
        Some(Trouble::Dormant).filter(|trouble| self.has_begun(*trouble))
    }

    /// How the next trouble happens that has not happened yet, if one can now.
    fn due(&self) -> Option<Kind> {
        self.due.iter().find_map(|trouble| match trouble {
            Trouble::HugeFile => Some(Kind::Huge).filter(|kind| self.makes_sense(*kind)),
            Trouble::Legacy => Some(Kind::Legacy),
            trouble => Some(Kind::Begins).filter(|_| self.may_begin(*trouble)),
        })
    }

    fn has_begun(&self, trouble: Trouble) -> bool {
        self.begun.contains(&trouble)
    }

    /// Whether the trouble may begin now.
    fn may_begin(&self, trouble: Trouble) -> bool {
        let is_at_work = self.life == Life::Running && !self.is_fresh;
        match trouble {
            _ if self.has_begun(trouble) => false,
            Trouble::LogReader | Trouble::Threads | Trouble::Memory => is_at_work,
            // An agent that starts without a good file falls back on the saved configuration.
            Trouble::StateDisk => self.file == File::Good,
            Trouble::ServiceManager => true,
            Trouble::Dormant => {
                self.layout == Layout::IptablesNat
                    && is_at_work
                    && self.second == Second::Absent
                    && self.file == File::Good
            }
            Trouble::HugeFile | Trouble::Legacy => false,
        }
    }

    fn kind(&mut self) -> Kind {
        let mut left = self.random.below(KINDS.iter().map(|(_, weight)| weight).sum());
        for (kind, weight) in KINDS {
            match left.checked_sub(weight) {
                Some(rest) => left = rest,
                None => return kind,
            }
        }
        unreachable!("what is left is less than the sum");
    }

    /// Not what would leave open which policy is the one that stays.
    fn makes_sense(&self, kind: Kind) -> bool {
        // Two that hold one table each for itself are for other tests.
        let must_stay = self.second != Second::Absent && self.layout == Layout::NativeProtected;
        match kind {
            Kind::Edit | Kind::Damage | Kind::Harmless | Kind::Storm | Kind::Interfaces => true,
            Kind::Begins => self.troubles.iter().any(|trouble| self.may_begin(*trouble)),
            Kind::Ends => !self.begun.is_empty(),
            Kind::Legacy => self.troubles.contains(&Trouble::Legacy),
            Kind::Huge if !self.troubles.contains(&Trouble::HugeFile) => false,
            Kind::Spoil | Kind::Huge | Kind::Delete => {
                self.second == Second::Absent
                    && !(self.is_unsaved || self.has_begun(Trouble::StateDisk) || self.has_begun(Trouble::Dormant))
                    && (self.may_settle() || !(self.is_open || self.is_fresh) && self.life == Life::Dead)
            }
            // Where its table is switched off, an agent that starts is right to give up.
            Kind::Kill | Kind::Terminate | Kind::Freeze if self.has_begun(Trouble::Dormant) => false,
            Kind::Kill => self.life != Life::Dead && !must_stay && (self.may_settle() || !self.must_settle(kind)),
            Kind::Terminate => {
                self.life == Life::Running && !must_stay && (self.may_settle() || !self.must_settle(kind))
            }
            Kind::Freeze => self.life == Life::Running && !must_stay,
            Kind::Reload => self.life == Life::Running && (!self.is_fresh || self.may_settle()),
            Kind::SecondStarts => self.second == Second::Absent && self.file == File::Good && self.may_settle(),
            Kind::SecondEnds => self.second != Second::Absent,
        }
    }

    fn must_settle(&self, kind: Kind) -> bool {
        match kind {
            Kind::Spoil | Kind::Huge | Kind::Delete => self.is_open || self.is_fresh,
            // The next agent has no file, only the rules left standing and the saved configuration.
            Kind::Kill | Kind::Terminate => self.is_open && self.file != File::Good,
            // A signal before it can be caught would be the end; and a second agent has to find what the first one wants.
            Kind::Reload => self.is_fresh,
            Kind::SecondStarts => true,
            _ => false,
        }
    }

    fn event(&mut self, kind: Kind) -> Event {
        match kind {
            Kind::Edit => self.edit(),
            Kind::Spoil => Event::Spoil(self.how(), self.bad()),
            Kind::Delete => Event::Delete,
            Kind::Damage => {
                let mut damages: &[Damage] = if self.layout == Layout::IptablesNat { &COMPAT } else { &NATIVE };
                if self.file == File::Degraded || self.file == File::Bad && self.life == Life::Dead {
                    // Rules that were damaged and left standing would be taken for good ones.
                    damages = &damages[..2];
                } else if self.layout != Layout::IptablesNat
                    && self.troubles.contains(&Trouble::Dormant)
                    && self.random.probability(8)
                {
                    damages = &[DORMANT];
                }
                let (what, tool) = self.random.pick(damages);
                Event::Damage(what, tool, self.random.pick(&FAMILIES))
            }
            Kind::Harmless => Event::Harmless(self.random.pick(&HARMLESS)),
            Kind::Storm => Event::Storm,
            Kind::Kill => Event::Kill,
            Kind::Terminate => Event::Terminate,
            Kind::Freeze => Event::Freeze,
            Kind::Reload => Event::Reload,
            Kind::SecondStarts => Event::SecondStarts,
            Kind::SecondEnds => Event::SecondEnds,
            Kind::Interfaces => Event::Interfaces(self.random.pick(&INTERFACES)),
            Kind::Begins => {
                let possible = |troubles: &[Trouble]| -> Vec<Trouble> {
                    troubles.iter().copied().filter(|trouble| self.may_begin(*trouble)).collect()
                };
                let due = possible(&self.due);
                let possible = if due.is_empty() { possible(&self.troubles) } else { due };
                Event::Begins(self.random.pick(&possible))
            }
            Kind::Ends => {
                let begun = self.begun.clone();
                Event::Ends(self.random.pick(&begun))
            }
            Kind::Huge => Event::Huge(self.random.pick(&[How::InPlace, How::RenamedOver])),
            Kind::Legacy => Event::Legacy(self.random.pick(&FAMILIES), self.random.pick(&LEGACY)),
        }
    }

    fn edit(&mut self) -> Event {
        let mut changes = Vec::new();
        if self.random.probability(30) {
            for _ in 0..self.random.between(1, 3) {
                let change = match self.random.below(4) {
                    0 => FileChange::Spoil(self.how(), self.bad()),
                    1 => FileChange::Delete,
                    _ => FileChange::Write(self.how(), self.policy()),
                };
                changes.push((change, Duration::from_micros(u64::from(self.random.below(20_000)))));
            }
        }
        changes.push((FileChange::Write(self.how(), self.policy()), Duration::ZERO));
        Event::Edit(changes)
    }

    fn how(&mut self) -> How {
        self.random.pick(&[How::InPlace, How::RenamedOver, How::Swapped])
    }

    fn remember(&mut self, event: &Event) {
        let happens = match event {
            Event::Begins(trouble) => Some(*trouble),
            Event::Huge(_) => Some(Trouble::HugeFile),
            Event::Legacy(..) => Some(Trouble::Legacy),
            _ => None,
        };
        self.due.retain(|due| Some(*due) != happens);
        match event {
            Event::Edit(_) => {
                (self.file, self.is_open) = (File::Good, true);
                if self.second == Second::InStep {
                    self.second = Second::Behind;
                }
            }
            Event::Spoil(..) | Event::Huge(_) | Event::Delete => {
                self.is_open = true;
                if self.file == File::Good {
                    self.file = File::Bad;
                }
            }
            Event::Damage(..) => (self.is_open, self.damages) = (true, self.damages + 1),
            Event::Kill | Event::Terminate => {
                self.life = Life::Dead;
                self.begun.retain(|trouble| !trouble.ends_with_the_agent());
            }
            Event::Begins(trouble) => {
                self.begun.push(*trouble);
                self.is_open |= *trouble == Trouble::Dormant;
            }
            Event::Ends(trouble) => self.begun.retain(|begun| begun != trouble),
            Event::Freeze => self.life = Life::Frozen,
            Event::Thaw => self.life = Life::Running,
            Event::Start => {
                (self.life, self.is_fresh, self.damages) = (Life::Running, true, 0);
                if self.file == File::Bad {
                    (self.file, self.is_open) = (File::Degraded, true);
                }
            }
            Event::Reload => self.damages = 0,
            Event::SecondStarts => self.second = Second::InStep,
            Event::SecondEnds => self.second = Second::Absent,
            Event::Harmless(_) | Event::Storm | Event::Interfaces(_) | Event::Legacy(..) => {}
        }
    }
}

#[test]
fn a_seed_makes_the_same_script_again_and_another_seed_another() {
    let script = |seed| {
        let mut script = Script::new(seed, Layout::OwnTable, Trouble::ALL.to_vec());
        std::iter::repeat_with(move || script.step()).take(700).collect::<Vec<_>>()
    };
    let one = script(7);
    assert_eq!(one, script(7));
    assert_ne!(one, script(8));
    let names: std::collections::BTreeSet<&str> = one.iter().map(|step| step.event.name()).collect();
    assert_eq!(names.len(), 23, "all kinds of events happen: {names:?}");
}
