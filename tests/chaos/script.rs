//! What happens, in which order and with which pauses: decided by a seed alone, never by what the world does.

use std::time::Duration;

use super::policy::{self, Policy};
use super::random::Random;
use super::shape::Shape;
use super::support::damage::{COMPAT, Damage, NATIVE, Tool};
use super::support::tables::FAMILIES;
use ip_masq_agent::net::Family;

/// The agent makes eight repairs at once and then begins to wait, until the operator sends SIGHUP. One damage may be
/// repaired in two steps.
const DAMAGES_BEFORE_RELOAD: u32 = 4;

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    /// Is it waited for first until all that happened before has come to rest?
    pub(crate) settled: bool,
    pub(crate) pause: Duration,
    pub(crate) event: Event,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// The file changes, several times at once; the last text is a good one.
    Edit(Vec<(FileChange, Duration)>),
    /// The file changes once, so that no agent may obey it.
    Spoil(How, String),
    Delete,
    /// Somebody does something to our rules.
    Damage(&'static str, Tool, Family),
    /// Somebody commits rules that are none of ours.
    Harmless(&'static str),
    /// Somebody commits 10,000 elements, several times.
    Storm,
    Kill,
    Terminate,
    Start,
    Freeze,
    Thaw,
    Reload,
    SecondStarts,
    SecondEnds,
    /// `ip -batch` on the node.
    Interfaces(&'static str),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FileChange {
    Write(How, Policy),
    Spoil(How, String),
    Delete,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    InPlace,
    RenamedOver,
    /// As kubelet swaps a volume.
    Swapped,
}

const HARMLESS: [&str; 6] = [
    "table inet others { chain c { type filter hook input priority 0; }; }",
    "add table inet others\nadd chain inet others x\nadd rule inet others x counter accept",
    "add table inet others\ndelete table inet others",
    "add table ip nat\nadd chain ip nat KUBE-X\nadd rule ip nat KUBE-X counter return",
    "add table ip6 nat\nadd chain ip6 nat KUBE-X\nflush chain ip6 nat KUBE-X",
    "add table ip others { chain c { type nat hook prerouting priority -100; }; }",
];

const INTERFACES: [&str; 6] = [
    "link add dummy0 type dummy\naddress add 10.99.0.1/24 dev dummy0\naddress add fd99::1/64 dev dummy0 nodad\n\
     link set dummy0 up",
    "link set dummy0 down",
    "link del dummy0",
    "address change 192.0.2.1/24 dev up0 valid_lft forever preferred_lft 0\n\
     address change 2001:db8::1/64 dev up0 valid_lft forever preferred_lft 0",
    "address change 192.0.2.1/24 dev up0 valid_lft forever preferred_lft forever\n\
     address change 2001:db8::1/64 dev up0 valid_lft forever preferred_lft forever",
    "link set up0 down\nlink set up0 up\naddress replace 2001:db8::1/64 dev up0 nodad\n\
     address replace fe80::1/64 dev up0 nodad\nroute replace default via 192.0.2.2\n\
     route replace default via 2001:db8::2",
];

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
}

/// Of a hundred.
const KINDS: [(Kind, u32); 13] = [
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
    /// It is bad or gone; the agent that runs has known a better one.
    Bad,
    /// It was so already when the agent started, which goes by what it finds: rules that stand, or what was kept.
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
    shape: Shape,
    number: u32,
    file: File,
    /// Has the file changed, or somebody damaged the rules, since all was at rest?
    is_open: bool,
    life: Life,
    /// Has the agent been started since all was at rest?
    is_fresh: bool,
    second: Second,
    damages: u32,
}

impl Script {
    /// The agent is running with a policy of its own.
    pub(crate) fn new(seed: u64, shape: Shape) -> Self {
        Self {
            random: Random::new(seed ^ (shape as u64) << 56),
            shape,
            number: 0,
            file: File::Good,
            is_open: false,
            life: Life::Running,
            is_fresh: false,
            second: Second::Absent,
            damages: 0,
        }
    }

    /// A policy that has not been before.
    pub(crate) fn policy(&mut self) -> Policy {
        self.number += 1;
        Policy::random(&mut self.random, self.number, self.shape.most_ranges())
    }

    fn bad(&mut self) -> String {
        self.number += 1;
        policy::bad(&mut self.random, self.number)
    }

    /// What happens next.
    pub(crate) fn step(&mut self) -> Step {
        let may_settle = self.may_settle();
        let (event, must_settle) = if self.life != Life::Running && self.random.chance(40) {
            (if self.life == Life::Dead { Event::Start } else { Event::Thaw }, false)
        } else if self.second == Second::Behind && self.random.chance(30) {
            (Event::SecondEnds, false)
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
        let settled = may_settle && (self.random.chance(75) || must_settle);
        if settled {
            (self.is_open, self.is_fresh) = (false, false);
        }
        self.remember(&event);
        let longest = self.random.pick(&[0, 1, 20, 100]);
        Step { settled, pause: Duration::from_micros(u64::from(self.random.below(longest * 1_000 + 1))), event }
    }

    /// Does it come to rest by itself?
    fn may_settle(&self) -> bool {
        self.life == Life::Running && self.second != Second::Behind
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
        let must_stay = self.second != Second::Absent && self.shape == Shape::NativeProtected;
        match kind {
            Kind::Edit | Kind::Damage | Kind::Harmless | Kind::Storm | Kind::Interfaces => true,
            Kind::Spoil | Kind::Delete => {
                self.second == Second::Absent
                    && (self.may_settle() || !(self.is_open || self.is_fresh) && self.life == Life::Dead)
            }
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
            Kind::Spoil | Kind::Delete => self.is_open || self.is_fresh,
            // The next agent has no file to go by, but rules that stand and what was kept.
            Kind::Kill | Kind::Terminate => self.is_open && self.file != File::Good,
            // A signal before it can be caught would be the end; and a second agent shall find what the first one wants.
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
                let mut damages: &[Damage] = if self.shape == Shape::Compat { &COMPAT } else { &NATIVE };
                if self.file == File::Degraded || self.file == File::Bad && self.life == Life::Dead {
                    // Rules that somebody changed and left standing would be as good as any.
                    damages = &damages[..2];
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
        }
    }

    fn edit(&mut self) -> Event {
        let mut changes = Vec::new();
        if self.random.chance(30) {
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
        match event {
            Event::Edit(_) => {
                (self.file, self.is_open) = (File::Good, true);
                if self.second == Second::InStep {
                    self.second = Second::Behind;
                }
            }
            Event::Spoil(..) | Event::Delete => {
                self.is_open = true;
                if self.file == File::Good {
                    self.file = File::Bad;
                }
            }
            Event::Damage(..) => (self.is_open, self.damages) = (true, self.damages + 1),
            Event::Kill | Event::Terminate => self.life = Life::Dead,
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
            Event::Harmless(_) | Event::Storm | Event::Interfaces(_) => {}
        }
    }
}

impl Event {
    /// What it is counted as.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Edit(_) => "edits",
            Self::Spoil(..) => "bad files",
            Self::Delete => "deleted files",
            Self::Damage(..) => "damages",
            Self::Harmless(_) => "commits elsewhere",
            Self::Storm => "storms",
            Self::Kill => "SIGKILLs",
            Self::Terminate => "SIGTERMs",
            Self::Start => "starts",
            Self::Freeze => "SIGSTOPs",
            Self::Thaw => "SIGCONTs",
            Self::Reload => "SIGHUPs",
            Self::SecondStarts => "second agents",
            Self::SecondEnds => "their ends",
            Self::Interfaces(_) => "interfaces changed",
        }
    }
}

#[test]
fn a_seed_makes_the_same_script_again_and_another_seed_another() {
    let script = |seed| {
        let mut script = Script::new(seed, Shape::Native);
        std::iter::repeat_with(move || script.step()).take(500).collect::<Vec<_>>()
    };
    let one = script(7);
    assert_eq!(one, script(7));
    assert_ne!(one, script(8));
    let names: std::collections::BTreeSet<&str> = one.iter().map(|step| step.event.name()).collect();
    assert_eq!(names.len(), 15, "all kinds of events happen: {names:?}");
}
