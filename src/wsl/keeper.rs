//! Keeps count of who needs the drives away: in this process, and over all processes of this user.
//!
//! The first takes them away, the last brings them back; whoever comes in between only proves anew. All of it
//! blocks, for seconds where somebody holds a drive, so it is called where that is allowed.

use std::sync::Arc;
use std::time::Duration;

use super::away::{AwayError, Back, Policy, Talk};
use super::drive::Drive;
use super::ledger::{Away, Ledger, LedgerError, User};
use super::machine::Machine;

/// How long another may mount or unmount before we give up waiting for it.
const LOCK_PATIENCE: Duration = Duration::from_secs(300);

/// The same where something that holds drives is dropped.
const DROP_PATIENCE: Duration = Duration::from_secs(60);

/// Writes down that these drives are about to be unmounted, on the disk when it returns.
pub type WriteDown = dyn Fn(&[Drive]) -> Result<(), String> + Send + Sync;

/// Drives that could not be taken away.
pub struct Untaken {
    /// Why.
    pub error: AwayError,
    /// What may be unmounted all the same. It is to be given back once nothing of the build can sync any
    /// more.
    pub hold: Option<Hold>,
}

/// Takes drives away for builds, and brings them back.
#[derive(Clone)]
pub struct Keeper {
    machine: Arc<Machine>,
    policy: Policy,
}

/// Drives are away as long as this lives, at least for this build. Dropped without [`Hold::give_back`] it
/// brings them back all the same.
pub struct Hold {
    machine: Arc<Machine>,
    user: Option<User>,
    /// Which were unmounted for it; empty where they were away already.
    pub unmounted: Vec<Drive>,
    /// All that were away when it was taken, in case the ledger is lost.
    known: Vec<Drive>,
    /// Whether another brings them back where this is dropped.
    is_left: bool,
}

impl Keeper {
    /// One for this machine.
    #[must_use]
    pub fn new(machine: Arc<Machine>, policy: Policy) -> Keeper {
        Keeper { machine, policy }
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Takes the drives away for `build`, or joins those for whom they are away. When it returns well, no
    /// `sync(2)` waits for a Windows drive.
    ///
    /// # Errors
    /// When they could not be taken away.
    pub fn take(
        &self,
        build: &str,
        write_down: &WriteDown,
        talk: &Talk<'_>,
    ) -> Result<Hold, Box<Untaken>> {
        let mut hold = Hold {
            machine: Arc::clone(&self.machine),
            user: None,
            unmounted: Vec::new(),
            known: Vec::new(),
            is_left: false,
        };
        match self.take_for(build, write_down, talk, &mut hold) {
            Ok(()) => Ok(hold),
            Err(error) => Err(Box::new(Untaken {
                error,
                hold: hold.user.is_some().then_some(hold),
            })),
        }
    }

    fn take_for(
        &self,
        build: &str,
        write_down: &WriteDown,
        talk: &Talk<'_>,
        hold: &mut Hold,
    ) -> Result<(), AwayError> {
        let machine = &self.machine;
        let ledger = Ledger::lock(&machine.ledger, LOCK_PATIENCE, talk.stopped)?;
        let boot = machine.boot();
        let mut away = ledger
            .read()?
            .filter(|away| away.boot == boot)
            .unwrap_or_default();
        away.boot = boot;
        away.users.retain(|user| user.lives(&machine.proc));
        let there = machine
            .drives()
            .map_err(|error| AwayError::System(format!("the mounts cannot be read: {error}")))?;
        for (point, kind) in &there.others {
            let message = format!(
                "{} is a file system of type {kind} and no drive of Windows: it stays, and a build that syncs \
                 waits for it",
                point.display()
            );
            (talk.say)(message, None);
        }
        // What is there now comes back as it is now; what is away already comes back as it was.
        away.drives
            .retain(|drive| !there.drives.iter().any(|now| now.point == drive.point));
        away.drives.extend(there.drives.iter().cloned());
        let user = User::this(&machine.proc, build);
        away.users.retain(|other| *other != user);
        away.users.push(user.clone());
        ledger.write(&away)?;
        hold.user = Some(user);
        hold.known.clone_from(&away.drives);
        write_down(&away.drives).map_err(AwayError::Journal)?;
        hold.unmounted = there.drives;
        machine.take_away(&away.drives, self.policy, talk)
    }
}

impl Hold {
    /// Brings them back, unless another needs them away; says what came of it.
    ///
    /// # Errors
    /// When the ledger cannot be used. Then it can be tried again.
    pub fn give_back(&mut self) -> Result<Back, LedgerError> {
        self.release(LOCK_PATIENCE)
    }

    /// Where it is dropped without having been given back, the drives stay away until somebody settles what
    /// the ledger has: the watcher does, once nothing of the build can sync any more.
    pub fn leave_to_watcher(&mut self, is_left: bool) {
        self.is_left = is_left;
    }

    fn release(&mut self, patience: Duration) -> Result<Back, LedgerError> {
        let Some(user) = &self.user else {
            return Ok(Back::default());
        };
        let ledger = Ledger::lock(&self.machine.ledger, patience, &|| false)?;
        let away = self.without(&ledger, user)?;
        let back = settle(&ledger, &self.machine, away)?;
        self.user = None;
        Ok(back)
    }

    /// Takes the user out of the ledger and mounts nothing.
    fn leave(&mut self) -> Result<(), LedgerError> {
        let Some(user) = &self.user else {
            return Ok(());
        };
        let ledger = Ledger::lock(&self.machine.ledger, DROP_PATIENCE, &|| false)?;
        ledger.write(&self.without(&ledger, user)?)?;
        self.user = None;
        Ok(())
    }

    /// What the ledger has without this user and without the dead, and with what this one knows: the ledger
    /// may have been lost, and another may have begun a new one since.
    fn without(&self, ledger: &Ledger, user: &User) -> Result<Away, LedgerError> {
        let mut away = ledger.read()?.unwrap_or_default();
        away.boot = self.machine.boot();
        let is_new = |drive: &Drive| !self.known.iter().any(|known| known.point == drive.point);
        let others: Vec<Drive> = away
            .drives
            .iter()
            .filter(|drive| is_new(drive))
            .cloned()
            .collect();
        // As the ledger has it where it has it: somebody may have mounted it anew meanwhile.
        let mut drives: Vec<Drive> = self
            .known
            .iter()
            .map(|known| {
                let mut written = away.drives.iter();
                written
                    .find(|drive| drive.point == known.point)
                    .unwrap_or(known)
                    .clone()
            })
            .collect();
        drives.extend(others);
        away.drives = drives;
        away.users
            .retain(|other| other != user && other.lives(&self.machine.proc));
        Ok(away)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Nobody is there to be told; what stays away is in the ledger and the journal.
        if self.is_left {
            if let Err(error) = self.leave() {
                tracing::warn!(%error, "drives");
            }
            return;
        }
        if let Ok(back) = self.release(DROP_PATIENCE)
            && !back.problems.is_empty()
        {
            tracing::warn!(problems = ?back.problems, "drives");
        }
    }
}

/// Brings the drives back where nobody needs them away.
fn settle(ledger: &Ledger, machine: &Machine, mut away: Away) -> Result<Back, LedgerError> {
    if !away.users.is_empty() {
        ledger.write(&away)?;
        return Ok(Back::default());
    }
    let back = machine.bring_back(&away.drives);
    if back.lost.is_empty() {
        ledger.clear()?;
    } else {
        away.drives.clone_from(&back.lost);
        ledger.write(&away)?;
    }
    Ok(back)
}

/// What [`settle_dead`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// What came back.
    pub back: Back,
    /// Who needs them away still.
    pub users: Vec<User>,
}

/// Brings back what dead processes left unmounted: what the ledger has, and `known` besides, which is what a
/// journal has. Nothing where a living process needs them away.
///
/// # Errors
/// When the ledger cannot be used.
pub fn settle_dead(machine: &Machine, known: &[(String, Drive)]) -> Result<Settled, LedgerError> {
    if known.is_empty() && super::ledger::peek(&machine.ledger)?.is_none() {
        return Ok(Settled::default());
    }
    let ledger = Ledger::lock(&machine.ledger, LOCK_PATIENCE, &|| false)?;
    let boot = machine.boot();
    // After a new start of the kernel everything is mounted by WSL itself.
    let mut away = ledger
        .read()?
        .filter(|away| away.boot == boot)
        .unwrap_or_default();
    away.boot.clone_from(&boot);
    away.users.retain(|user| user.lives(&machine.proc));
    for (_, drive) in known.iter().filter(|(of, _)| *of == boot) {
        if !away.drives.iter().any(|have| have.point == drive.point) {
            away.drives.push(drive.clone());
        }
    }
    let users = away.users.clone();
    if users.is_empty() && away.drives.is_empty() {
        ledger.clear()?;
        return Ok(Settled::default());
    }
    Ok(Settled {
        back: settle(&ledger, machine, away)?,
        users,
    })
}
