//! Whether a target is there: an ICMP echo, or a TCP connection, which proves it by a refusal too.

mod echo;

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use remuda_model::run::{PingMode, TroubleKind};
use remuda_run::check::PingPlan;
use tokio::time::{Instant, timeout, timeout_at};

use self::echo::Echo;
use super::{Draft, Kept, Stop, Visit, connect};

/// One attempt at one target; the body says how it was found out.
pub(super) async fn run(plan: &PingPlan, visit: &Visit<'_>, draft: &mut Draft) -> Result<(), Stop> {
    draft.sends(true);
    let how = match plan.mode {
        PingMode::Tcp => tcp(plan, visit, draft).await?,
        PingMode::Icmp | PingMode::Auto => match icmp(plan, visit, draft).await? {
            Some(how) => how,
            None if plan.mode == PingMode::Auto => tcp(plan, visit, draft).await?,
            None => {
                return Err(Stop::new(
                    TroubleKind::Internal,
                    "the worker may not send ICMP echoes; allow its group in \
                     net.ipv4.ping_group_range, give it CAP_NET_RAW, or ping by TCP",
                ));
            }
        },
    };
    draft.body = Kept::up_to(how.len());
    draft.body.push(how.as_bytes());
    Ok(())
}

/// Asks for echoes until one comes; nothing where the worker may not.
async fn icmp(
    plan: &PingPlan,
    visit: &Visit<'_>,
    draft: &mut Draft,
) -> Result<Option<&'static str>, Stop> {
    let limit = visit.connect_limit();
    let end = Instant::now() + limit;
    let late = || {
        let message = format!("no echo in {} ms", limit.as_millis());
        Stop::passing(TroubleKind::Timeout, message)
    };
    let hosts = timeout_at(end, visit.gate().hosts(visit.host())).await;
    let hosts = hosts.map_err(|_late| late())??;
    let turns = u32::from(plan.tries) * u32::try_from(hosts.len()).unwrap_or(1);
    let mut last = late();
    for sequence in 0..u16::from(plan.tries) {
        for host in &hosts {
            draft.at(host);
            match timeout(limit / turns, echo(*host, sequence)).await {
                Err(_late) => {}
                Ok(Ok(true)) => return Ok(Some("alive (icmp)")),
                Ok(Ok(false)) => return Ok(None),
                Ok(Err(error)) => last = Stop::connecting(&error),
            }
        }
    }
    Err(last)
}

/// Asks for one echo and waits for it; false where the worker may not ask.
async fn echo(host: IpAddr, sequence: u16) -> io::Result<bool> {
    let Some(mut echo) = Echo::open(host)? else { return Ok(false) };
    echo.ask(sequence).await?;
    Ok(true)
}

async fn tcp(plan: &PingPlan, visit: &Visit<'_>, draft: &mut Draft) -> Result<&'static str, Stop> {
    let call = visit.fill(|values| plan.fill(values))?;
    let end = Instant::now() + visit.connect_limit();
    match connect::tcp(visit.gate(), (visit.host(), call.port), end, draft).await {
        Ok(_stream) => Ok("alive (tcp)"),
        Err(stop) if stop.trouble.kind == TroubleKind::Refused => Ok("alive (tcp, refused)"),
        Err(stop) => Err(stop),
    }
}

/// An address for a socket that has no ports.
fn without_port(host: IpAddr) -> SocketAddr {
    SocketAddr::new(host, 0)
}
