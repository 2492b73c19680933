//! HTTP/1 as RFC 9112 words it, read in the simplest way: from a whole text at once. It shares no code with the proxy, so
//! an error must be made twice to pass unseen.

/// Why there is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is not all there.
    Partial,
    /// It breaks a rule.
    Refused(&'static str),
}

/// How lines of a head may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineEnd {
    CrLf,
    /// A line feed alone may end a line, too (§2.2).
    Lf,
}

/// Names in lower case, with their values.
pub(super) type Fields = Vec<(String, Vec<u8>)>;

/// The first line's three parts, and the fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) first: [String; 3],
    pub(super) fields: Fields,
}

/// How a body's end is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    Close,
}

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) head: Head,
    pub(super) framing: Framing,
    pub(super) data: Vec<u8>,
    pub(super) trailers: Fields,
}

/// A text, and how far it was read.
#[derive(Debug)]
pub(super) struct Reader<'t> {
    pub(super) left: &'t [u8],
    line_end: LineEnd,
    limits: Limits,
}

/// What a head may be, and how many trailers there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) bytes: usize,
    pub(super) fields: usize,
}

// === impl Head ===

impl Head {
    pub(super) fn values<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
        self.fields.iter().filter(move |(found, _)| found == name).map(|(_, value)| &value[..])
    }

    /// The members of a list, in lower case.
    pub(super) fn members<'h>(&'h self, name: &'h str) -> impl Iterator<Item = String> {
        let values = self.values(name).map(|value| String::from_utf8_lossy(value).to_ascii_lowercase());
        values.flat_map(|value| value.split(',').map(|member| member.trim().to_owned()).collect::<Vec<_>>())
    }

    /// §6.3, for a message that may have a body; `otherwise`: where nothing is said.
    fn framing(&self, otherwise: Framing) -> Result<Framing, Unread> {
        let mut length = None;
        for member in self.members("content-length") {
            let is_number = !member.is_empty() && member.bytes().all(|byte| byte.is_ascii_digit());
            let number = member.parse::<u64>().ok().filter(|_| is_number).ok_or(Unread::Refused("no length"))?;
            if length.replace(number).is_some_and(|other| other != number) {
                return Err(Unread::Refused("two lengths"));
            }
        }
        let codings: Vec<_> = self.values("transfer-encoding").collect();
        match (&codings[..], length) {
            ([], None) => Ok(otherwise),
            ([], Some(length)) => Ok(Framing::Length(length)),
            ([coding], _) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
            _ => Err(Unread::Refused("codings")),
        }
    }
}

// === impl Reader ===

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t [u8], line_end: LineEnd) -> Self {
        Self { left: text, line_end, limits: Limits { bytes: usize::MAX, fields: usize::MAX } }
    }

    pub(super) fn limit(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// A request as a server should take it, and as we must write it.
    pub(super) fn request(&mut self) -> Result<Message, Unread> {
        let line = self.line()?;
        let mut parts = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Unread::Refused("request line"));
        };
        let is_visible = !target.is_empty() && target.iter().all(|byte| byte.is_ascii_graphic() || *byte >= 0x80);
        if !is_token(method) || !is_visible || !matches!(version, b"HTTP/1.0" | b"HTTP/1.1") {
            return Err(Unread::Refused("request line"));
        }
        let head = Head { first: [text(method), text(target), text(version)], fields: self.fields()? };
        let framing = head.framing(Framing::Length(0))?;
        self.body(head, framing)
    }

    /// The final response, behind all interim ones. `is_end`: the connection has ended behind this text.
    pub(super) fn response(&mut self, method: &str, is_end: bool) -> Result<Message, Unread> {
        loop {
            let before = self.left.len();
            let head = self.response_head()?;
            if before - self.left.len() > self.limits.bytes {
                return Err(Unread::Refused("long head"));
            }
            let status: u16 = head.first[1].parse().map_err(|_| Unread::Refused("status"))?;
            if (100..200).contains(&status) && status != 101 {
                continue;
            }
            // What it says of its body must make sense, even if it has none.
            let framing = if status == 101 { Framing::Close } else { head.framing(Framing::Close)? };
            if framing == Framing::Chunked && head.first[0] == "HTTP/1.0" {
                return Err(Unread::Refused("chunks in 1.0"));
            }
            return match framing {
                _ if matches!(status, 101 | 204 | 304) || method == "HEAD" => self.body(head, Framing::Length(0)),
                Framing::Close if !is_end => Err(Unread::Partial),
                framing => self.body(head, framing),
            };
        }
    }

    fn response_head(&mut self) -> Result<Head, Unread> {
        if self.line_end == LineEnd::Lf {
            while self.left.starts_with(b"\n") || self.left.starts_with(b"\r\n") {
                self.line()?;
            }
        }
        let line = self.line()?;
        let (version, rest) = line.split_at_checked(8).ok_or(Unread::Refused("status line"))?;
        let (code, reason) = rest.split_at_checked(4).ok_or(Unread::Refused("status line"))?;
        let is_code = matches!(code, [b' ', b'1'..=b'9', b'0'..=b'9', b'0'..=b'9']);
        let is_reason = reason.first().is_none_or(|first| *first == b' ') && is_text(reason);
        if !matches!(version, b"HTTP/1.0" | b"HTTP/1.1") || !is_code || !is_reason {
            return Err(Unread::Refused("status line"));
        }
        Ok(Head { first: [text(version), text(&code[1..]), text(reason)], fields: self.fields()? })
    }

    fn body(&mut self, head: Head, framing: Framing) -> Result<Message, Unread> {
        let mut message = Message { head, framing, data: Vec::new(), trailers: Vec::new() };
        match framing {
            Framing::Length(length) => {
                let length = usize::try_from(length).map_err(|_| Unread::Partial)?;
                message.data = self.take(length)?.to_vec();
            }
            Framing::Chunked => message.trailers = self.chunks(&mut message.data)?,
            Framing::Close => message.data = std::mem::take(&mut self.left).to_vec(),
        }
        Ok(message)
    }

    /// §7.1; `data` gets what there is even if the end is not. Returns the trailers.
    pub(super) fn chunks(&mut self, data: &mut Vec<u8>) -> Result<Fields, Unread> {
        loop {
            let digits = self.left.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            let number = std::str::from_utf8(&self.left[..digits]).ok().and_then(|n| u64::from_str_radix(n, 16).ok());
            if digits > 16 || (digits == 0 && !self.left.is_empty()) {
                return Err(Unread::Refused("chunk size"));
            }
            self.left = &self.left[digits..];
            let extension = self.strict_line()?;
            let behind_blanks = extension.trim_ascii_start();
            if behind_blanks.first().is_some_and(|first| *first != b';') || !is_text(extension) {
                return Err(Unread::Refused("chunk extension"));
            }
            match number.ok_or(Unread::Refused("chunk size"))? {
                0 => {
                    // A line feed alone ends a line of a head, never one of a body.
                    let outer = std::mem::replace(&mut self.line_end, LineEnd::CrLf);
                    let fields = self.fields();
                    self.line_end = outer;
                    return fields;
                }
                size => {
                    let size = usize::try_from(size).unwrap_or(usize::MAX);
                    data.extend_from_slice(&self.left[..size.min(self.left.len())]);
                    self.take(size)?;
                    if !self.strict_line()?.is_empty() {
                        return Err(Unread::Refused("chunk end"));
                    }
                }
            }
        }
    }

    /// §5, to the empty line.
    fn fields(&mut self) -> Result<Fields, Unread> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            if fields.len() == self.limits.fields {
                return Err(Unread::Refused("many fields"));
            }
            let colon = line.iter().position(|byte| *byte == b':').ok_or(Unread::Refused("field"))?;
            let (name, value) = (&line[..colon], &line[colon + 1..]);
            if !is_token(name) || !is_text(value) {
                return Err(Unread::Refused("field"));
            }
            let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
            let from = value.iter().position(|byte| !is_blank(byte)).unwrap_or(value.len());
            let to = value.iter().rposition(|byte| !is_blank(byte)).map_or(from, |last| last + 1);
            fields.push((text(name).to_ascii_lowercase(), value[from..to].to_vec()));
        }
    }

    fn line(&mut self) -> Result<&'t [u8], Unread> {
        match self.line_end {
            LineEnd::CrLf => self.strict_line(),
            LineEnd::Lf => {
                let end = self.left.iter().position(|byte| *byte == b'\n').ok_or(Unread::Partial)?;
                let line = self.take(end + 1)?;
                Ok(line[..end].strip_suffix(b"\r").unwrap_or(&line[..end]))
            }
        }
    }

    /// A line that ends with CR LF and has neither within.
    fn strict_line(&mut self) -> Result<&'t [u8], Unread> {
        let end = self.left.iter().position(|byte| matches!(byte, b'\r' | b'\n')).ok_or(Unread::Partial)?;
        match &self.left[end..] {
            [b'\r'] => Err(Unread::Partial),
            [b'\r', b'\n', ..] => {
                let line = &self.left[..end];
                self.left = &self.left[end + 2..];
                Ok(line)
            }
            _ => Err(Unread::Refused("line end")),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'t [u8], Unread> {
        let (taken, left) = self.left.split_at_checked(count).ok_or(Unread::Partial)?;
        self.left = left;
        Ok(taken)
    }
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// Neither control bytes nor ends of lines.
fn is_text(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
