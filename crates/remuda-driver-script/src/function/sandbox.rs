//! Locks a process in before foreign code runs in it: what the engine could be tricked into has
//! nothing to reach.

use std::{fs, io, time::Duration};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, Scope,
};
use nix::{
    sched::{CloneFlags, unshare},
    unistd::{Gid, Uid, close, setgroups, setresgid, setresuid},
};
use rustix::{
    process::{Resource, Rlimit, geteuid, getpid, setrlimit},
    thread::{CapabilitySet, CapabilitySets, set_capabilities},
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter_all_threads,
};

/// Memory beside that of the engine: stacks, texts on their way in and out.
const OVERHEAD: u64 = 48 * 1024 * 1024;

/// Who owns nothing.
const NOBODY: u32 = 65534;

/// Why a process cannot be locked in.
#[derive(Debug, thiserror::Error)]
pub(super) enum SandboxError {
    #[error("cannot limit what the process uses")]
    Limits(#[source] io::Error),
    #[error("cannot keep the process from files")]
    Files(#[source] landlock::RulesetError),
    #[error("cannot say which system calls are allowed")]
    Rules(#[source] seccompiler::BackendError),
    #[error("cannot restrict system calls")]
    Calls(#[source] seccompiler::Error),
}

/// Takes from the process what it does not need: descriptors, memory, time, network, rights and
/// files. To be called while it has one thread.
pub(super) fn enter(memory_bytes: u64, time: Duration) -> Result<(), SandboxError> {
    close_descriptors();
    limit(memory_bytes, time).map_err(SandboxError::Limits)?;
    // Not everybody may have a network of his own or become somebody else; the system calls are
    // restricted all the same.
    let private = unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC);
    if private.is_err() {
        let _ = unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET);
    }
    if geteuid().is_root() {
        let (gid, uid) = (Gid::from_raw(NOBODY), Uid::from_raw(NOBODY));
        let _ = setgroups(&[]).and_then(|()| setresgid(gid, gid, gid));
        let _ = setresuid(uid, uid, uid);
    }
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, none).map_err(|error| SandboxError::Limits(error.into()))?;
    forbid_files().map_err(SandboxError::Files)
}

fn close_descriptors() {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    for number in numbers.collect::<Vec<_>>() {
        if number > 2 {
            // One of them was that of the folder.
            let _ = close(number);
        }
    }
}

fn limit(memory_bytes: u64, time: Duration) -> io::Result<()> {
    let set = |resource, most: u64| {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
    };
    let pages = fs::read_to_string("/proc/self/statm")?;
    let pages = pages.split(' ').nth(5).and_then(|data| data.parse::<u64>().ok()).unwrap_or(0);
    let used = pages * rustix::param::page_size() as u64;
    set(Resource::Data, used.saturating_add(memory_bytes).saturating_add(OVERHEAD))?;
    set(Resource::Cpu, time.as_secs().saturating_add(2))?;
    set(Resource::Core, 0)?;
    set(Resource::Fsize, 0)?;
    Ok(())
}

/// No path, no port, no signal and no abstract socket beyond the process, as far as the kernel knows
/// how.
fn forbid_files() -> Result<(), landlock::RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V6))?
        .handle_access(AccessNet::from_all(ABI::V6))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .restrict_self()
        .map(drop)
}

/// Leaves all threads of the process the few system calls that computing takes. Others fail.
pub(super) fn restrict_calls() -> Result<(), SandboxError> {
    let program = calls().map_err(SandboxError::Rules)?;
    apply_filter_all_threads(&program).map_err(SandboxError::Calls)
}

fn calls() -> Result<BpfProgram, seccompiler::BackendError> {
    let only = |conditions| SeccompRule::new(conditions).map(|rule| vec![rule]);
    let is = |argument, value: u64| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
    };
    let executable = u64::from(libc::PROT_EXEC.unsigned_abs());
    let plain =
        SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(executable), 0)?;
    let own = u64::from(getpid().as_raw_pid().unsigned_abs());
    let mut rules: Vec<(i64, Vec<SeccompRule>)> = vec![
        (libc::SYS_read, only(vec![is(0, 0)?])?),
        (libc::SYS_write, [only(vec![is(0, 1)?])?, only(vec![is(0, 2)?])?].concat()),
        // With which the C library says that it gives up.
        (libc::SYS_writev, only(vec![is(0, 2)?])?),
        (libc::SYS_mmap, only(vec![plain.clone()])?),
        (libc::SYS_mprotect, only(vec![plain])?),
        // To end itself, also by a panic.
        (libc::SYS_kill, only(vec![is(0, own)?])?),
        (libc::SYS_tgkill, only(vec![is(0, own)?])?),
    ];
    rules.extend(COMPUTING.iter().map(|&call| (call, Vec::new())));
    let arch = std::env::consts::ARCH.try_into()?;
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let rules = rules.into_iter().collect();
    SeccompFilter::new(rules, refused, SeccompAction::Allow, arch)?.try_into()
}

/// Memory, time, threads that wait for each other, and the end.
const COMPUTING: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
];
