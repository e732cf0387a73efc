//! Serves the page to a browser of this machine and of this user, and nothing else to anybody.
//!
//! The server listens on 127.0.0.1. Paths begin with a random word, since other users of the machine can reach that address,
//! too; requests under another host name are refused, since a page from the net could have that name point here. Requests
//! change nothing: only GET and HEAD are answered.

use crate::errors::{Code, Message};
use crate::tools::watch::{View, page};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest head of a request, bytes.
const LONGEST_HEAD: usize = 8192;
/// A request must have come, and its answer gone, within this time.
const PATIENCE: Duration = Duration::from_secs(5);
/// Requests that are answered at the same time.
const AT_A_TIME: usize = 16;

/// A page on 127.0.0.1.
pub struct Server {
    listener: TcpListener,
    word: String,
    port: u16,
    refresh: u64,
    view: Arc<Mutex<Option<View>>>,
}

impl Server {
    /// Listens on a port of 127.0.0.1; 0 takes a free one. Browsers load the page again every `refresh` seconds.
    ///
    /// # Errors
    /// The port is taken or not allowed.
    pub fn listen(port: u16, refresh: u64) -> Result<Self, Message> {
        let failed = |error: io::Error| {
            Code::SYSTEM_LIMIT.says(format!(
                "--port {port}: 127.0.0.1 cannot be listened on there: {error}; leave out --port to take a free one"
            ))
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let mut bytes = [0; 16];
        std::fs::File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(&mut bytes))
            .map_err(failed)?;
        Ok(Self {
            listener,
            word: BASE64_URL_SAFE_NO_PAD.encode(bytes),
            port,
            refresh,
            view: Arc::default(),
        })
    }

    /// Returns the address of the page.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/{}/", self.port, self.word)
    }

    /// Shows this from now on.
    pub fn show(&self, view: View) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = Some(view);
    }

    /// Answers requests in threads until the program ends.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(&self) -> io::Result<()> {
        let listener = self.listener.try_clone()?;
        let site = Arc::new(Site {
            word: self.word.clone(),
            port: self.port,
            refresh: self.refresh,
            view: self.view.clone(),
        });
        let busy = Arc::new(AtomicUsize::new(0));
        std::thread::Builder::new().spawn(move || {
            for stream in listener.incoming().flatten() {
                if busy.fetch_add(1, Ordering::Relaxed) >= AT_A_TIME {
                    busy.fetch_sub(1, Ordering::Relaxed);
                    continue;
                }
                let (site, its_turn) = (site.clone(), busy.clone());
                let spawned = std::thread::Builder::new().spawn(move || {
                    // Whoever asked has gone: nobody is left to tell.
                    let _ = site.answer(stream);
                    its_turn.fetch_sub(1, Ordering::Relaxed);
                });
                if spawned.is_err() {
                    busy.fetch_sub(1, Ordering::Relaxed);
                }
            }
        })?;
        Ok(())
    }
}

/// Answer to a request.
struct Site {
    word: String,
    port: u16,
    refresh: u64,
    view: Arc<Mutex<Option<View>>>,
}

/// Status line, type and body of an answer.
type Answer = (&'static str, &'static str, String);

impl Site {
    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let head = read_head(&mut stream)?;
        let (status, kind, body) = self.answer_to(&head);
        let head_only = head.starts_with("HEAD ");
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\nContent-Length: {}\r\n\
             Content-Security-Policy: {}\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
             Cross-Origin-Resource-Policy: same-origin\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{}",
            body.len(),
            policy(),
            if head_only { "" } else { &body }
        )?;
        stream.flush()
    }

    fn answer_to(&self, head: &str) -> Answer {
        let text = |status, words: &str| (status, "text/plain", format!("{words}\n"));
        let mut lines = head.split("\r\n");
        let mut request = lines.next().unwrap_or_default().split(' ');
        let (method, path) = (request.next().unwrap_or_default(), request.next());
        if !matches!(method, "GET" | "HEAD") {
            return text("405 Method Not Allowed", "Nothing can be changed here.");
        }
        let host = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("host").then(|| value.trim())
        });
        let own = [
            format!("127.0.0.1:{}", self.port),
            format!("localhost:{}", self.port),
        ];
        if !host.is_some_and(|host| own.iter().any(|own| own == host)) {
            return text("421 Misdirected Request", "This is a page of 127.0.0.1.");
        }
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let page = path
            .and_then(|path| path.strip_prefix('/'))
            .and_then(|path| path.strip_prefix(self.word.as_str()));
        match (page, &*view) {
            (Some("/"), Some(view)) => ("200 OK", "text/html", page::html(view, self.refresh)),
            (Some("/runs.json"), Some(view)) => ("200 OK", "application/json", page::json(view)),
            _ => text(
                "404 Not Found",
                "No such page. The address is the one that gerelion watch printed.",
            ),
        }
    }
}

/// Content-Security-Policy: the style that the page holds, and nothing from anywhere.
fn policy() -> String {
    let style = BASE64_STANDARD.encode(Sha256::digest(page::STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// Reads up to the empty line that ends the head.
fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let begin = Instant::now();
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut part)?;
        if count == 0 || head.len() > LONGEST_HEAD || begin.elapsed() > PATIENCE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.extend(&part[..count]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn site() -> Site {
        Site {
            word: "secret".into(),
            port: 8000,
            refresh: 5,
            view: Arc::new(Mutex::new(Some(View {
                now: SystemTime::now(),
                runs: Vec::new(),
                cards: None,
            }))),
        }
    }

    #[test]
    fn only_this_user_of_this_machine_is_answered_and_only_read_requests() {
        let site = site();
        let status = |request: &str| site.answer_to(request).0;
        let from = |host: &str| format!("GET /secret/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(status(&from("127.0.0.1:8000")), "200 OK");
        assert_eq!(status(&from("localhost:8000")), "200 OK");
        assert_eq!(
            status(&from("evil.example:8000")),
            "421 Misdirected Request"
        );
        assert_eq!(
            status("GET /secret/ HTTP/1.0\r\n\r\n"),
            "421 Misdirected Request"
        );
        let here = "HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";
        assert_eq!(
            status(&format!("POST /secret/ {here}")),
            "405 Method Not Allowed"
        );
        for path in [
            "/",
            "/secre/",
            "/secret",
            "/secret/../etc/passwd",
            "/secret/x",
        ] {
            assert_eq!(
                status(&format!("GET {path} {here}")),
                "404 Not Found",
                "{path}"
            );
        }
        let (status, kind, body) = site.answer_to(&format!("GET /secret/runs.json {here}"));
        assert_eq!((status, kind), ("200 OK", "application/json"));
        serde_json::from_str::<serde_json::Value>(&body).unwrap();
    }

    #[test]
    fn a_page_is_served_with_a_policy_that_allows_no_script() {
        let server = Server::listen(0, 5).unwrap();
        server.show(site().view.lock().unwrap().clone().unwrap());
        server.start().unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        let path = server.address();
        let path = path.split_once(&server.port.to_string()).unwrap().1;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n",
            server.port
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.contains("Content-Security-Policy: default-src 'none'; style-src 'sha256-"));
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        for foreign in ["<script", "style=\"", "http://1", "https://", "javascript:"] {
            assert!(!body.contains(foreign), "{foreign}");
        }
    }
}
