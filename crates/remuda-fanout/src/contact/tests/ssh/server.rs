//! A server of SSH on loopback for one user, `deploy`, with the password `s3cret` or the key of seed 7.

use std::{
    collections::HashMap,
    io::Write as _,
    net::SocketAddr,
    process::{Command, Stdio},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use russh::{
    Channel, ChannelId, MethodKind, MethodSet, Preferred, Sig,
    keys::{Algorithm, PrivateKey, decode_secret_key, ssh_key::private::Ed25519Keypair},
    server::{
        Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, PublicKeyOffer, Response, Session,
        VerifiedPublicKey, run_stream,
    },
};
use tokio::{net::TcpListener, sync::mpsc};

/// How it behaves.
#[derive(Clone, Default)]
pub(super) struct Server {
    /// Asks for the password as a question.
    pub(super) asks: bool,
    /// Has another key for each connection.
    pub(super) changes_keys: bool,
    /// Has a second key of another kind.
    pub(super) has_ecdsa: bool,
    /// The kinds of keys that it says it takes, if not all; that of its own must be there.
    pub(super) takes: Option<Vec<Algorithm>>,
    /// The kinds of keys that it was offered.
    pub(super) offered: Arc<Mutex<Vec<Algorithm>>>,
    /// Commands never end.
    pub(super) hangs: bool,
    /// Says what it was to run instead of running it.
    pub(super) prints_commands: bool,
    /// Commands end by this signal.
    pub(super) ends_by: Option<Sig>,
}

/// The key of a seed; the server has that of 1.
pub(super) fn key(seed: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
}

/// The second key of a server.
pub(super) fn ecdsa() -> PrivateKey {
    static KEY: LazyLock<PrivateKey> = LazyLock::new(|| {
        let pem = rcgen::KeyPair::generate().expect("a key").serialize_pem();
        decode_secret_key(&pem, None).expect("a key")
    });
    KEY.clone()
}

/// A key that no server of this kind can check.
pub(super) fn rsa() -> String {
    static KEY: LazyLock<String> = LazyLock::new(|| {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256);
        pair.expect("a key").serialize_pem()
    });
    KEY.clone()
}

impl Server {
    /// Starts it; it ends with the runtime of the test.
    pub(super) async fn start(self) -> SocketAddr {
        self.start_watched().await.0
    }

    /// The same, and a word for each signal that a command gets and each connection that has ended.
    pub(super) async fn start_watched(self) -> (SocketAddr, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (told, watch) = mpsc::channel(16);
        let number = Arc::new(AtomicU8::new(0));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (server, told, number) = (self.clone(), told.clone(), number.clone());
                tokio::spawn(async move {
                    let number = number.fetch_add(1, Ordering::SeqCst);
                    let seed = if server.changes_keys { 100 + number } else { 1 };
                    let mut keys = vec![key(seed)];
                    if server.has_ecdsa {
                        keys.push(ecdsa());
                    }
                    let mut preferred = Preferred::DEFAULT;
                    if let Some(takes) = &server.takes {
                        preferred.key = takes.clone().into();
                    }
                    let config = Config {
                        keys,
                        preferred,
                        auth_rejection_time: Duration::ZERO,
                        auth_rejection_time_initial: Some(Duration::ZERO),
                        ..Config::default()
                    };
                    let client = Client { server, inputs: HashMap::new(), told: told.clone() };
                    if let Ok(session) = run_stream(Arc::new(config), stream, client).await {
                        // How it ended is seen at the other side.
                        let _ = session.await;
                    }
                    let _ = told.send("ended".to_owned()).await;
                });
            }
        });
        (address, watch)
    }
}

struct Client {
    server: Server,
    /// Commands that run when their input has come.
    inputs: HashMap<ChannelId, (String, Vec<u8>)>,
    told: mpsc::Sender<String>,
}

fn judge(is_right: bool) -> Auth {
    if is_right { Auth::Accept } else { Auth::reject() }
}

impl Handler for Client {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, russh::Error> {
        if self.server.asks {
            return Ok(Auth::Reject {
                proceed_with_methods: Some(MethodSet::from(
                    &[MethodKind::KeyboardInteractive, MethodKind::PublicKey][..],
                )),
                partial_success: false,
            });
        }
        Ok(judge(user == "deploy" && password == "s3cret"))
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        match response {
            None => Ok(Auth::Partial {
                name: "".into(),
                instructions: "".into(),
                prompts: vec![("Password: ".into(), false)].into(),
            }),
            Some(mut answers) => {
                Ok(judge(user == "deploy" && answers.next().is_some_and(|a| &*a == b"s3cret")))
            }
        }
    }

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, russh::Error> {
        self.server.offered.lock().expect("no panic").push(offer.algorithm.clone());
        Ok(Auth::Accept)
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        offered: VerifiedPublicKey<'_>,
    ) -> Result<Auth, russh::Error> {
        let right = offered.public_key.key_data() == key(7).public_key().key_data();
        Ok(judge(user == "deploy" && right))
    }

    async fn channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let command = String::from_utf8_lossy(data).into_owned();
        self.inputs.insert(channel, (command, Vec::new()));
        session.channel_success(channel)
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        _session: &mut Session,
    ) -> Result<(), russh::Error> {
        if let Some((_, input)) = self.inputs.get_mut(&channel) {
            input.extend(data);
        }
        Ok(())
    }

    async fn signal(
        &mut self,
        _channel: ChannelId,
        signal: Sig,
        _session: &mut Session,
    ) -> Result<(), russh::Error> {
        let _ = self.told.send(format!("{signal:?}")).await;
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        if let Some((command, input)) = self.inputs.remove(&channel)
            && !self.server.hangs
        {
            // What cannot be sent any more, nobody waits for.
            tokio::spawn(execute(self.server.clone(), command, input, channel, session.handle()));
        }
        Ok(())
    }
}

async fn execute(
    server: Server,
    command: String,
    input: Vec<u8>,
    channel: ChannelId,
    handle: Handle,
) -> Option<()> {
    let prints = server.prints_commands;
    let output = tokio::task::spawn_blocking(move || {
        let mut shell = Command::new("sh");
        if prints {
            shell.args(["-c", "printf %s \"$1\"", "sh", &command]);
        } else {
            shell.args(["-c", &command]);
        }
        let mut child = shell
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell");
        let _ = child.stdin.take().expect("a pipe").write_all(&input);
        child.wait_with_output().expect("an end")
    });
    let output = output.await.expect("no panic");
    for piece in output.stdout.chunks(32 << 10) {
        handle.data(channel, piece.to_vec()).await.ok()?;
    }
    handle.extended_data(channel, 1, output.stderr).await.ok()?;
    if let Some(signal) = server.ends_by {
        let text = String::new();
        handle.exit_signal_request(channel, signal, false, text.clone(), text).await.ok()?;
    } else {
        let code = output.status.code().expect("a code");
        handle.exit_status_request(channel, code.try_into().expect("positive")).await.ok()?;
    }
    handle.eof(channel).await.ok()?;
    handle.close(channel).await.ok()
}
