//! What goes wrong, how it ends, and what has to be healed then.

use std::time::Duration;

use super::super::{Departure, Event, Phase, Wishes};
use super::node::{Node, Process, REPOSITORIES, repository};
use super::plan::SECOND;
use super::world::{Happening, MILLI, World};
use crate::shard::members::Weight;

impl World {
    /// The process ends, and what it had not sent whole.
    pub(super) fn crash(&mut self, node: usize) {
        self.remove(node);
        if self.plan.replica_ends_with_us {
            let replica = self.nodes[node].replica;
            self.soon(
                MILLI * 50,
                self.plan.watchdog,
                Happening::Killed(node, replica),
            );
        }
        if self.now < self.troubles_end {
            self.soon(MILLI * 100, self.plan.restart, Happening::Start(node));
        }
    }

    pub(super) fn stop(&mut self, node: usize, from: Duration, to: Duration) {
        let until = self.now + self.random.time(from, to);
        if let Some(process) = &self.nodes[node].process {
            let known = self.stopped.entry(process.number).or_insert(until);
            *known = until.max(*known);
            if self.plan.replica_ends_with_us {
                let watched = Happening::Watch(node, process.number);
                self.at(self.now + MILLI * 500, watched);
            }
        }
    }

    /// What is beside a process looks whether it runs.
    pub(super) fn watch(&mut self, node: usize, number: u64) {
        let is_same = |process: &Process| process.number == number;
        if self.nodes[node].process.as_ref().is_some_and(is_same) && !self.is_running(number) {
            let replica = self.nodes[node].replica;
            self.soon(
                MILLI * 50,
                self.plan.watchdog,
                Happening::Killed(node, replica),
            );
        }
    }

    /// A machine's clocks are corrected, as chrony does without being told otherwise.
    fn slew(&mut self, node: usize) {
        let lasts = self.random.time(SECOND * 5, SECOND * 60);
        let by = if self.random.happens(500) { 83 } else { -83 };
        self.nodes[node].slews.push((self.now, lasts, by));
    }

    /// The machine stands still, and so does the clock that counts.
    pub(super) fn suspend(&mut self, node: usize) {
        let lasts = self.random.time(SECOND * 2, SECOND * 40);
        if self.nodes[node].process.is_some() {
            self.stop(node, lasts, lasts);
            self.nodes[node].lost.push((self.now, lasts));
        }
    }

    /// Once a second: what may go wrong.
    pub(super) fn trouble(&mut self) {
        if self.now >= self.troubles_end {
            return self.tell_who_is_down();
        }
        let at = self.now + SECOND;
        self.at(at, Happening::Trouble);
        for node in 0..self.nodes.len() {
            self.trouble_of(node);
        }
        if self.random.happens(self.plan.outages) {
            self.store_is_away = true;
            self.soon(SECOND, SECOND * 60, Happening::StoreIsBack);
        }
        if self.random.happens(self.plan.tidied) {
            self.store.tidy();
        }
        if self.random.happens(self.plan.policies) {
            self.change_policy();
        }
        self.tell_who_is_down();
    }

    pub(super) fn trouble_of(&mut self, node: usize) {
        let Some(process) = &self.nodes[node].process else {
            if self.nodes[node].gone && self.random.happens(self.plan.leaves) {
                self.start(node);
            }
            return;
        };
        let (number, is_static) = (process.number, process.is_static);
        if is_static {
            return;
        }
        if self.random.happens(self.plan.crashes) {
            self.crash(node);
        } else if self.random.happens(self.plan.stops) {
            self.stop(node, MILLI * 500, SECOND * 40);
        } else if self.random.happens(self.plan.suspensions) && self.is_running(number) {
            self.suspend(node);
        } else if self.random.happens(self.plan.cuts) {
            self.nodes[node].cut_off = true;
            self.soon(SECOND, SECOND * 40, Happening::Reach(node));
        } else if self.random.happens(self.plan.leaves) {
            self.depart(node, number, Departure::Leave);
        } else if self.random.happens(self.plan.restarts) {
            self.depart(node, number, Departure::Park);
        } else if self.random.happens(self.plan.clock_steps) {
            self.nodes[node].ahead += SECOND * 30;
        } else if self.random.happens(self.plan.slews) {
            self.slew(node);
        } else if self.random.happens(self.plan.clones) && self.nodes[node].clone.is_none() {
            let process = self.new_process(node, false);
            let at = self.now;
            self.at(at, Happening::Tick(node, process.number));
            self.nodes[node].clone = Some(process);
        }
    }

    pub(super) fn depart(&mut self, node: usize, number: u64, departure: Departure) {
        self.tell(node, number, Event::Go(departure));
        // As a supervisor would.
        let at = self.now + SECOND * 25;
        self.at(at, Happening::End(node, number));
    }

    /// All files say something else: from each one's next start on, and soon to who runs.
    pub(super) fn change_policy(&mut self) {
        let pinned = usize::try_from(self.random.below(REPOSITORIES.len() as u64)).unwrap();
        let member = usize::try_from(self.random.below(self.nodes.len() as u64)).unwrap();
        let member = self.nodes[member].setup.id.to_string();
        for node in 0..self.nodes.len() {
            let weight = u16::try_from(1 + self.random.below(3)).unwrap();
            let setup = &mut self.nodes[node].setup;
            setup.policy.pins = vec![(REPOSITORIES[pinned].into(), member.clone())];
            setup.weight = Weight::new(weight).unwrap();
            if let Some(process) = &self.nodes[node].process {
                let reload = Happening::Reload(node, process.number);
                self.soon(MILLI, SECOND * 20, reload);
            }
        }
    }

    /// A process takes its file anew.
    pub(super) fn reload(&mut self, node: usize, number: u64) {
        let setup = &self.nodes[node].setup;
        let wishes = Event::Wishes(Wishes {
            policy: setup.policy.clone(),
            weight: setup.weight,
        });
        self.tell(node, number, wishes);
    }

    pub(super) fn tell_who_is_down(&mut self) {
        for node in 0..self.nodes.len() {
            let Some(process) = &self.nodes[node].process else {
                continue;
            };
            let number = process.number;
            for other in (0..self.nodes.len()).filter(|other| *other != node) {
                let member = self.nodes[other].setup.id.clone();
                let now = self.nodes[other].clock(self.now);
                let is_up = self.nodes[other].process.as_ref().is_some_and(|process| {
                    let lasts = process.snapshot.as_ref().is_some_and(|at| at.lasts(now));
                    lasts && self.is_running(process.number)
                });
                let is_up = is_up && !self.random.happens(self.plan.wrong_downs);
                let told = self.process(node, number).map(|at| &mut at.told[other]);
                if told.is_none_or(|told| told.replace(is_up) == Some(is_up)) {
                    continue;
                }
                let event = if is_up {
                    Event::Up(member)
                } else {
                    Event::Down(member)
                };
                let told = self.now;
                self.at(told, Happening::Tell(node, number, event));
            }
        }
    }

    /// Nothing goes wrong any more, and all are there.
    pub(super) fn heal(&mut self) {
        let plan = &mut self.plan;
        (plan.lost, plan.answer_lost, plan.late, plan.wrong_downs) = (0, 0, 0, 0);
        plan.strays = 0;
        self.store_is_away = false;
        for node in 0..self.nodes.len() {
            self.nodes[node].cut_off = false;
            self.nodes[node].clone = None;
            if self.nodes[node].process.is_none() && !self.nodes[node].gone {
                self.start(node);
            }
        }
        for second in 1..125 {
            let at = self.now + SECOND * second;
            self.at(at, Happening::Trouble);
            self.at(at, Happening::Begin);
        }
        // Those that were on their way out when it ended are started again.
        for node in 0..self.nodes.len() {
            let at = self.now + SECOND * 45;
            self.at(at, Happening::Start(node));
        }
    }

    /// What should have healed by itself and has not.
    pub(super) fn unhealed(&self) -> Option<String> {
        let frozen = |node: &Node| {
            let process = node.process.as_ref();
            process.is_some_and(|process| matches!(process.coordinator.phase(), Phase::Frozen(_)))
        };
        // A frozen process waits for a person.
        if self.plan.statics || self.nodes.iter().any(frozen) {
            return None;
        }
        let view = self.store.view.as_ref().map(|(view, _)| view);
        let Some(view) = view else {
            return Some("there is no view".into());
        };
        if !view.chain.is_empty() {
            return Some(format!("view {} is not settled at the end", view.now.epoch));
        }
        for (index, name) in REPOSITORIES.iter().enumerate() {
            let takes = |node: &&Node| {
                let now = node.clock(self.now);
                let process = node.process.as_ref();
                let snapshot = process.and_then(|process| process.snapshot.as_ref());
                snapshot.is_some_and(|at| at.may_write(&repository(index), None, now).is_ok())
            };
            let writers = self.nodes.iter().filter(takes).count();
            if writers != 1 {
                return Some(format!("{name} has {writers} writers at the end"));
            }
        }
        let wishes = &self.nodes[0].setup.policy;
        if view.now.policy != *wishes {
            return Some(format!(
                "the files say {wishes:?}, the view {:?}",
                view.now.policy
            ));
        }
        for Node { setup, .. } in &self.nodes {
            let seat = view.now.members.iter().find(|seat| seat.id == setup.id);
            if seat.is_some_and(|seat| seat.weight != setup.weight) {
                return Some(format!("{} has another weight than its file", setup.id));
            }
        }
        let serves = |node: &Node| {
            let process = node.process.as_ref();
            process.is_some_and(|process| {
                process.coordinator.phase() == Phase::Serving && process.coordinator.is_member()
            })
        };
        let idle = self.nodes.iter().find(|node| !serves(node));
        idle.map(|node| format!("{} is no member at the end", node.setup.id))
    }
}
