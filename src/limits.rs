//! Every bound of the core and the shell, with its unit and its reason. What happens beyond a bound stands where it is checked.
//! `tests/tidy.rs` fails on a limit that nothing uses.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Longest name, bytes: long enough for an address-like identifier with scopes, short enough for a log line.
pub const NAME_BYTES_MAX: usize = 256;
/// Most segments in a name: a person's devices need two or three.
pub const NAME_SEGMENTS_MAX: usize = 8;

/// Longest SIP message, bytes: what one UDP datagram can carry.
pub const SIP_BYTES_MAX: usize = 65_535;
/// Largest request that goes as a datagram to a peer that takes TCP, bytes (RFC 3261 §18.1.1: 200 below the MTU, which is not known).
pub const SIP_DATAGRAM_BYTES_MAX: usize = 1_300;
/// Most header fields in a message: RFC 4475's longest has 34 Via values in far fewer lines.
pub const SIP_HEADERS_MAX: usize = 96;
/// Longest parameter list of a URI that is compared name by name, bytes: real ones have less than 200.
pub const SIP_COMPARED_PARAMS_BYTES_MAX: usize = 1024;
/// Longest display name in a record or an event, characters: more is not a name.
pub const DISPLAY_NAME_CHARS_MAX: usize = 128;

/// Longest session description, bytes (RELIABILITY A13: SDP as an attack on memory).
pub const SDP_BYTES_MAX: usize = 16_384;
/// Most media descriptions in a session description.
pub const SDP_MEDIA_MAX: usize = 8;
/// Most formats in one media description.
pub const SDP_FORMATS_MAX: usize = 64;
/// Most attributes in one session description.
pub const SDP_ATTRIBUTES_MAX: usize = 256;
/// Most `b=` lines that are kept of one stream: `AS`, `TIAS`, `RS`, `RR` and one more (RFC 8866 §5.8, RFC 3890, RFC 3556).
pub const SDP_BANDWIDTHS_MAX: usize = 5;
/// Longest `a=ptime`, milliseconds: beyond it one lost packet is a lost syllable. Others are as though absent.
pub const SDP_PTIME_MS_MAX: u8 = 200;
/// Attributes of a fax (`T38…`) that cross. ITU-T T.38 annex D has twelve.
pub const SDP_T38_MAX: usize = 24;
/// Bytes of one of them: the longest that are in use have 60.
pub const SDP_T38_BYTES_MAX: usize = 128;
/// Most codecs that one bridge agrees on: a handful of audio codecs and telephone-event.
pub const CODECS_MAX: usize = 8;

/// How long the caller of a finished call is remembered, so that a late callback hears what became of it (PRODUCT "Late truth").
pub const TOMBSTONE_LIFE: Duration = Duration::from_secs(300);
/// Most finished calls that are remembered: 5 minutes at 300 calls a second.
pub const TOMBSTONES_MAX: usize = 90_000;

/// Longest RTP or RTCP datagram, bytes (RELIABILITY §2.5): what fits an Ethernet frame. Longer ones are dropped as malformed.
pub const RTP_BYTES_MAX: usize = 1_500;
/// Sources under one SRTP key: a telephone has one, a change of device or an announcement another. None is forgotten for a new one, because
/// its packets could be sent again; a peer that needs more sends a new key.
pub const SRTP_SOURCES_MAX: usize = 16;
/// How far back a packet of an SRTP source may be late: five seconds at 20 ms, four times what RFC 3711 §3.3.2 asks for at least. A multiple
/// of 64.
pub const SRTP_WINDOW_PACKETS: usize = 256;
/// Packets in sequence before an address that signalling did not name is learned: RFC 3550 §A.1's MIN_SEQUENTIAL.
pub const LATCH_PACKETS_MIN: u8 = 2;
/// Addresses that are on trial at once on one port: enough that a stray sender cannot push the true one out between two packets.
pub const LATCH_CANDIDATES_MAX: usize = 4;
/// Of how many newcomers one gets a place on trial when all are taken: with four places the one who got in keeps his past the 128 packets that a
/// forger of 6,400 a second sends between two of his, and of his own one in 32 gets in, 0.6 s on an average.
pub const LATCH_NEWCOMERS_A_PLACE: u8 = 32;
/// How late the beat of what callers hear may be and still make up for it: with more, it goes on from where it is.
pub const RELAY_BEAT_LATE_MAX: Duration = Duration::from_millis(200);
/// Longest sound that callers hear before it begins again, seconds: as G.711 it takes 5 MB, in both laws twice that.
pub const SOUND_SECONDS_MAX: usize = 600;
/// Most packets to a trusted leg before it was heard (RELIABILITY A20): one second at 20 ms.
pub const START_BURST_PACKETS_MAX: u8 = 50;
/// Longest time in which a trusted leg is sent to before it was heard (RELIABILITY A20).
pub const START_BURST_MAX: Duration = Duration::from_secs(1);
/// Sender reports of one leg's that are remembered until the other answers them: it answers the latest, and one may be lost.
pub const RTCP_CLOCKS_MAX: usize = 4;
/// Longest round trip, and jitter, that is believed when RTCP says so: nobody talks over one of ten seconds.
pub const ROUND_TRIP_MAX: Duration = Duration::from_secs(10);
/// Clock rates of telephone-event that are agreed on, Hz: from telephony's to the fastest that audio has. By slower ones nobody could tell keys
/// apart, and counting them by another would tell of hours.
pub const EVENT_CLOCK_RATES: RangeInclusive<u32> = 8_000..=192_000;
/// How long after its last packet a key whose end packets were all lost counts as released: RFC 4733 §2.6.1 asks for packets
/// every 50 ms at most, so this is twenty lost ones.
pub const DTMF_GAP_MAX: Duration = Duration::from_secs(1);
/// Keys of one leg that are told in a second, by each means: machines dial ten, with tones and pauses of 50 ms; the rest are counted.
pub const DIGITS_TOLD_PER_SECOND_MAX: u32 = 20;
/// Keys that a client may have pressed by one word: an account's number and a PIN.
pub const DIGITS_DIALLED_MAX: usize = 32;
/// Keys that wait to be pressed for one leg to hear: seconds' worth, and more are not.
pub const DIGITS_QUEUED_MAX: usize = 32;
/// How long a key of ours is down where nobody says it: twice what Q.24 asks for, and a bit.
pub const DIGIT_DURATION: Duration = Duration::from_millis(100);
/// The shortest that one may be wanted, so that everybody hears it.
pub const DIGIT_DURATION_MIN: Duration = Duration::from_millis(60);
/// The longest, because nobody is heard meanwhile.
pub const DIGIT_DURATION_MAX: Duration = Duration::from_secs(2);
/// How long audio is heard between two keys of ours: they are told apart by less (ITU-T Q.24: 40 ms).
pub const DIGIT_PAUSE: Duration = Duration::from_millis(60);
/// How long a key waits for the stream that it is to be pressed in: for the first packet of a side, for the end of an announcement.
pub const DIGIT_WAIT_MAX: Duration = Duration::from_secs(3);

/// How long a freed pair of ports rests, so that late packets of the old call find nobody.
pub const PORT_REST: Duration = Duration::from_secs(5);
/// How long it rests at least where no other is left: what is late in a network is late by less, and a call that gets no port is lost.
pub const PORT_REST_MIN: Duration = Duration::from_secs(1);
/// Flows that must have been opened between two ticks of a worker before it keeps the sockets of those that end: eighty a second. At less,
/// to open them anew costs nothing that anybody would see, and idle sockets would only take memory.
pub const RELAY_KEEP_OPENS_MIN: u32 = 16;
/// Flows' worth of sockets that a worker keeps at most, four each: three seconds of a thousand calls a second.
pub const RELAY_KEPT_MAX: usize = 4_096;
/// How long a worker keeps sockets that nobody wants.
pub const RELAY_KEPT_TIME_MAX: Duration = Duration::from_secs(10);
/// How many kept ones must be free to choose from before one is used again: whoever had a call knows its ports, and is to know no more than
/// these of the next one's.
pub const RELAY_KEPT_CHOICE_MIN: usize = 256;
/// Kept ones that a worker closes at one tick, so that packets do not wait for it.
pub const RELAY_KEPT_CLOSED_MAX: usize = 64;
/// Pairs that are tried for one leg before it is refused: other programs may hold some of the range.
pub const PORT_TRIES_MAX: usize = 16;
/// Commands that may wait for one relay worker before new flows are refused. Commands of open flows always get in: their number
/// is bounded by that of the flows.
pub const RELAY_COMMANDS_MAX: usize = 8_192;
/// Commands that a worker may carry out before the packets' turn.
pub const RELAY_BATCH_MAX: usize = 32;
/// Packets that a worker takes between two looks at the clock from which on it gathers them (`media.coalesce_us`): 4,000 a second, some
/// forty calls. Below that a wake-up more or less does not matter.
pub const RELAY_GATHER_PACKETS_MIN: u32 = 800;
/// One flow in so many has the kernel say when its packets came: some hundred packets a second tell as much as ten thousand.
pub const RELAY_TIMED_EVERY: usize = 16;
/// ICMP errors of one socket that are read between two looks at its packets.
pub const ICMP_BATCH_MAX: usize = 16;
/// ICMP errors of one leg, from one word of signalling to the next, after which its socket is no longer asked for them: 20 seconds of a
/// telephone that does not listen. Whoever forges them can forge many.
pub const ICMP_ERRORS_MAX: u32 = 1_000;
/// How often a worker looks for silent legs and lost key releases, and shows that it lives.
pub const RELAY_TICK: Duration = Duration::from_millis(200);
/// Receive buffer of one RTP socket, bytes: a fifth of a second of G.711 as the kernel counts it. Older audio is worth nothing.
pub const RTP_RECEIVE_BUFFER_BYTES: usize = 32_768;
/// Longest park deadline: nobody hears ringing for longer.
pub const PARK_MAX: Duration = Duration::from_secs(3600);
/// Longest life of a bridge token: the longest park deadline and five minutes of late truth; so long a replaced master still opens.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(3900);
/// Most masters that open tokens at one time: a rotation every four seconds for an hour.
pub const TOKEN_MASTERS_MAX: usize = 1024;

/// Longest JSON web token, bytes: some forty grants, and nothing that takes longer to refuse than to verify.
pub const JWT_BYTES_MAX: usize = 4096;
/// Longest parameters of a grant, names and values together, bytes: they travel in each of its events, in records and in questions.
pub const GRANT_PARAMETERS_BYTES_MAX: usize = 512;
/// Most subjects whose answered calls are counted, some 150 bytes each: as many as answer limited calls on one day. Beyond it whoever is not
/// counted yet gets no call.
pub const SUBJECTS_COUNTED_MAX: usize = 65_536;
/// How far the clock of whoever signs a JWT may be off ours, unless configured.
pub const JWT_SKEW: Duration = Duration::from_secs(30);
/// Longest subject (JWT `sub`), bytes.
pub const SUBJECT_BYTES_MAX: usize = 256;
/// Shortest HMAC secret, bytes: as long as the output of SHA-256 (RFC 7518 §3.2).
pub const HMAC_SECRET_BYTES_MIN: usize = 32;
/// Longest wait for an external decision, all tries together (PRODUCT "Policy": at most 2 s); after it the answer is no.
pub const POLICY_WAIT_MAX: Duration = Duration::from_secs(2);
/// Longest evaluation of a policy in Rego: the switch waits meanwhile. A decision takes some ten microseconds.
#[cfg(feature = "rego")]
pub const REGO_WAIT_MAX: Duration = Duration::from_millis(5);
/// Longest answer of a policy server, bytes (PRODUCT "Policy"): a decision has some hundred.
pub const POLICY_ANSWER_BYTES_MAX: usize = 65_536;
/// Longest head of such an answer, bytes.
pub const POLICY_HEAD_BYTES_MAX: usize = 16_384;
/// Most questions that are out at a time: each has a connection. More callbacks at once than a server answers in time are denied.
pub const POLICY_QUESTIONS_MAX: usize = 256;
/// Most connections that are kept open to a policy server for the next question.
pub const POLICY_CONNECTIONS_KEPT_MAX: usize = 32;
/// Longest URL of a policy server, bytes.
pub const URL_BYTES_MAX: usize = 1_024;

/// How long the relay may take to open ports before the callback is refused: it binds four sockets.
pub const MEDIA_OPEN_MAX: Duration = Duration::from_secs(2);
/// Warnings of one call while it goes on. Whoever has read so many knows that its network is bad.
pub const WARNINGS_A_CALL_MAX: u8 = 20;
/// Who has sent nothing for longer is not taken for one who speaks, while it is looked for who is not heard: both may have stopped at once.
pub const SPEAKING_PAUSE_MAX: Duration = Duration::from_secs(2);
/// For how long neither side of a fax may send anything. T.30 waits for 35 s at most (its timer T1) before it says something again; the rest is
/// for machines that load their paper first.
pub const FAX_SILENCE_MAX: Duration = Duration::from_secs(120);
/// How long a caller that was answered before may take to be joined to another client: 64*T1, in which a re-INVITE is answered or lost.
pub const REJOIN_MAX: Duration = Duration::from_secs(32);
/// How often a call may be handed on: a few desks on its way; one that goes round more often goes in circles.
pub const TRANSFERS_MAX: usize = 16;
/// How long a call may take to be taken down: a 2xx may wait 64*T1 = 32 s for its ACK and the BYE after it 32 s for its answer.
pub const ENDING_MAX: Duration = Duration::from_secs(70);

/// Buffers of a SIP socket, bytes: a second of 5,000 messages.
pub const SIP_RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// Messages of calls in a row after which a socket that was never found empty meanwhile has more of them than we work off: a hundredth of a
/// second's, and twice what a burst leaves in a buffer of the kernel's usual size.
pub const SIP_BACKLOG_MAX: usize = 1_024;
/// Datagrams handled between two looks at anything else: a millisecond's worth.
pub const SIP_BATCH_MAX: usize = 64;
/// Most connections that carry SIP over TCP and TLS, of all peers and of one address: a carrier has a few, an office behind one NAT one a
/// telephone. WebSockets count as subscription channels do.
pub const SIP_CONNECTIONS_MAX: usize = 20_000;
/// The same of one address.
pub const SIP_CONNECTIONS_PER_SOURCE_MAX: usize = 1_000;
/// Most connections that we have opened at a time: proxies and trunks.
pub const SIP_DIALLED_MAX: usize = 1_024;
/// Connections that the kernel keeps for us until they are accepted.
pub const SIP_BACKLOG: i32 = 1_024;
/// Longest that a TCP connection may take to be opened: one lost SYN.
pub const SIP_CONNECT_MAX: Duration = Duration::from_secs(3);
/// Longest that a TLS handshake may take (RELIABILITY A17).
pub const TLS_HANDSHAKE_MAX: Duration = Duration::from_secs(3);
/// Longest from a message's first byte to its last, and from opening a connection to its first message (RELIABILITY A7).
pub const SIP_MESSAGE_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a connection may be silent on which we have said nothing but refusals (RELIABILITY A7).
pub const SIP_STRANGER_IDLE_MAX: Duration = Duration::from_secs(30);
/// The same of others. RFC 5626 §4.4.1 has clients send a keep-alive every two minutes at the latest, and a call may last between two.
pub const SIP_CONNECTION_IDLE_MAX: Duration = Duration::from_secs(900);
/// Longest that the network may take to accept a message; a peer that reads so slowly is as good as gone.
pub const SIP_CONNECTION_WRITE_MAX: Duration = Duration::from_secs(10);
/// How long the answer to bytes that are no message is waited for before their connection is closed.
pub const SIP_FAREWELL_MAX: Duration = Duration::from_secs(1);
/// Most messages that wait for one connection to take them: more means that its peer does not read.
pub const SIP_CONNECTION_MESSAGES_MAX: usize = 256;
/// Most messages of all connections that wait for the switch thread; then their senders wait.
pub const SIP_STREAM_MESSAGES_MAX: usize = 4_096;
/// Messages from other threads that may wait for the switch. What does not fit is dropped; calls live by their timers.
pub const SWITCH_QUEUE_MAX: usize = 65_536;
/// Longest that all of a target's DNS questions may take together; after it the target counts as not found. A little less than a
/// caller waits, a little more than two name servers' patience.
pub const LOCATE_MAX: Duration = Duration::from_secs(8);
/// How long one name server may take to answer before the next is asked.
pub const DNS_WAIT_MAX: Duration = Duration::from_secs(2);
/// Targets that may wait for DNS at one time: every trunk's, several times over.
pub const LOCATE_QUEUE_MAX: usize = 1_024;
/// Targets that are looked for at one time: each has a handful of questions open.
pub const LOCATE_AT_ONCE_MAX: usize = 32;
/// Most ways that one target leads to: more are not tried within a call's patience.
pub const HOPS_MAX: usize = 16;
/// Most DNS answers that are kept, a few hundred bytes each.
pub const DNS_ANSWERS_KEPT_MAX: usize = 4_096;
/// Shortest life of a DNS answer: one of 0 would be asked for with each request.
pub const DNS_LIFE_MIN: Duration = Duration::from_secs(5);
/// Longest life of a DNS answer: an operator who moves a gateway waits no longer than an hour.
pub const DNS_LIFE_MAX: Duration = Duration::from_secs(3600);
/// Life of the answer that there is no such record where the name server does not say (RFC 2308 §5).
pub const DNS_ABSENCE_LIFE: Duration = Duration::from_secs(60);
/// How long an answer may stand in when no name server answers (RFC 8767 §5 suggests one to three days).
pub const DNS_STALE_MAX: Duration = Duration::from_secs(86_400);
/// How long name servers that did not answer are left alone while an old answer stands in (RFC 8767 §5).
pub const DNS_RETRY_AFTER: Duration = Duration::from_secs(30);
/// Rounds in a row in which no way to a trunk's target answered before it counts as down: one lost ping, or two, is the network's fault.
pub const TARGET_FAILURES_MAX: u32 = 3;
/// How long a target may take to answer OPTIONS: a repetition or three, and no longer than a caller would wait for the next target.
pub const PING_WAIT_MAX: Duration = Duration::from_secs(5);
/// How often a target that is not pinged is looked for again: DNS answers live about as long.
pub const LOCATE_EVERY: Duration = Duration::from_secs(60);
/// Most rules for the numbers of one trunk: they are tried one after the other, for each call.
pub const REWRITES_MAX: usize = 64;
/// Most addresses of which the name is known that a TLS certificate there must have: all ways of some hundred targets.
pub const TLS_NAMES_MAX: usize = 4_096;
/// Most targets of one trunk.
pub const TARGETS_MAX: usize = 16;
/// How long a registrar may take to answer before the next target is tried: it may have to ask others, but nobody is waiting for a call.
pub const REGISTER_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long it is waited at the end that a registrar hears that we are not there any more: a challenge, its proof, and a repetition.
pub const UNREGISTER_WAIT_MAX: Duration = Duration::from_secs(2);
/// First pause after a registration failed everywhere, twice as long after each further one (RFC 5626 §4.5).
pub const REGISTER_PAUSE_MIN: Duration = Duration::from_secs(30);
/// Longest pause between two tries to register (RFC 5626 §4.5).
pub const REGISTER_PAUSE_MAX: Duration = Duration::from_secs(1800);
/// Shortest and longest registration that we keep up: a registrar that wants another every second is not obeyed.
pub const REGISTER_SECONDS_MIN: u64 = 20;
/// A day.
pub const REGISTER_SECONDS_MAX: u64 = 86_400;
/// How long a stop may take once all calls have been told: a BYE and its answer, with a repetition or two.
pub const STOP_MAX: Duration = Duration::from_secs(3);
/// Longest free text of a configuration that ends up in logs, records and messages (a trunk's name, a key id, `User-Agent`), bytes.
pub const LABEL_BYTES_MAX: usize = 128;
/// Longest opaque text that a route hands to the client, bytes: it travels in every event of the route.
pub const ROUTE_DATA_BYTES_MAX: usize = 1024;
/// Most call detail records that wait for the thread that writes them, and as many again for a disk that takes them: some minutes
/// of a busy switch, a few megabytes.
pub const RECORDS_QUEUED_MAX: usize = 16_384;
/// Most log lines that wait for the output: a burst of seconds, at most a few megabytes.
pub const LOG_LINES_QUEUED_MAX: usize = 8_192;
/// How often the service manager gets a status line where it does not ask for a sign of life more often.
pub const STATUS_EVERY: Duration = Duration::from_secs(5);
/// How late a packet may come and still be in its place in a recording: longer than a telephone would wait for it.
pub const RECORDING_HOLD: Duration = Duration::from_millis(200);
/// Most pieces of audio (20 ms of one side) that wait for the thread that writes recordings: two seconds of 80
/// calls that both talk, or a turn of 8,000; 3 MB. They are there from the start, if recordings are configured; what does not fit is dropped and counted.
pub const RECORDING_PIECES_QUEUED_MAX: usize = 16_384;
/// How often recordings are written from what waits for it.
pub const RECORDING_TURN: Duration = Duration::from_millis(20);
/// How often the free space of the disk is looked at.
pub const RECORDING_SPACE_EVERY: Duration = Duration::from_secs(2);
/// Longest recording that can be configured, seconds: a day, of which a stereo file has 2.8 GB; the lengths in its header end at 4.
pub const RECORDING_SECONDS_MAX: u64 = 86_400;

/// DSCP of what the relay sends: Expedited Forwarding (RFC 3246), what telephony uses.
pub const DSCP_EXPEDITED: u8 = 46;

/// Most findings that a client is told of a call that it had, the worst: with them the event still goes in one SIP MESSAGE over UDP
/// ([`SIP_DATAGRAM_BYTES_MAX`]).
pub const FINDINGS_TOLD_MAX: usize = 4;
/// Longest text of a message, bytes: what is longer is a document, and belongs behind a link.
pub const MESSAGE_TEXT_BYTES_MAX: usize = 4_096;
/// Longest text of a message that goes as a datagram, bytes: with its headers it stays within RFC 3428 §8's 1,300.
pub const MESSAGE_DATAGRAM_TEXT_BYTES_MAX: usize = 700;
/// How long a message waits for somebody to take it, and is told to whoever comes.
pub const MESSAGE_WAIT_MAX: Duration = Duration::from_secs(3_600);
/// How long a message is kept for its sender to ask after it, and for clients that come back.
pub const MESSAGE_KEPT_MAX: Duration = Duration::from_secs(7_200);
/// Most messages that are kept: 40 MB of the longest texts, and some five of common ones.
pub const MESSAGES_KEPT_MAX: usize = 10_000;
/// Most messages for one name that nobody has taken: they fit into the queue of whoever comes, with calls beside them.
pub const MESSAGES_PER_NAME_MAX: usize = 50;
/// Most messages of one sender that nobody has taken: others have room beside him.
pub const MESSAGES_PER_SENDER_MAX: usize = MESSAGES_KEPT_MAX / 4;
/// How long a change of who is there has to stand before it is told: a browser that loads its page anew is away for less.
pub const PRESENCE_SETTLE: Duration = Duration::from_secs(5);
/// Most names of which one event of presence says who is there under each: a person's devices, or the first of a team.
pub const PRESENCE_SCOPES_MAX: usize = 16;
/// Most names that one subscription watches: a contact list on a screen.
pub const PRESENCE_CONTACTS_MAX: usize = 64;
/// Most names that all subscriptions watch together: 40 MB.
pub const PRESENCE_WATCHES_MAX: usize = 500_000;
/// Most notices that wait for one subscriber to read: more means that it does not read (RELIABILITY §2.2).
pub const SUBSCRIBER_NOTICES_MAX: usize = 64;
/// Ends of calls that are kept for clients that come back: those of a minute and a half at a hundred calls a second, in 2 MB. Who was away for
/// longer is told all that waits.
pub const ENDS_KEPT_MAX: usize = 8_192;
/// Most bytes of notices that wait for one subscriber: what a slow reader may keep in memory.
pub const SUBSCRIBER_BYTES_MAX: usize = 262_144;
/// Most notices between the switch thread and the fan-out task: a burst of a few seconds at full load.
pub const NOTICES_QUEUED_MAX: usize = 16_384;
/// How long the news that a call waits no more may wait for other news to go with: nobody hears a telephone ring so much longer.
pub const NOTICE_HELD_MAX: Duration = Duration::from_millis(5);
/// Longest frame and longest message from a client, bytes (RELIABILITY A17).
pub const CLIENT_MESSAGE_BYTES_MAX: usize = 65_536;
/// Most messages that a client may send in one second. It has a handful to say of a call, and one connection may be an application
/// server's that takes a hundred calls at once.
pub const CLIENT_MESSAGES_PER_SECOND_MAX: u32 = 500;
/// Most mistakes of a client before its channel is closed: a wrong program makes them for ever.
pub const CLIENT_MISTAKES_MAX: u32 = 5;
/// Longest wait for a browser's first frame, which authorises its channel.
pub const CHANNEL_AUTH_WAIT_MAX: Duration = Duration::from_secs(1);
/// Longest that a long poll waits for an event: below what proxies wait for an answer.
pub const POLL_WAIT_MAX: Duration = Duration::from_secs(30);
/// Most events in the answer to one poll; the rest come with the next.
pub const POLL_EVENTS_MAX: usize = 100;
/// How long a ticket is good: long enough for a page to open its stream, too short for a log to be worth stealing.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(30);
/// Most tickets that are out: as many pages as may open streams in half a minute.
pub const TICKETS_MAX: usize = 10_000;
/// How often a channel is pinged: below the minute after which NATs and proxies forget a silent connection.
pub const CHANNEL_PING_INTERVAL: Duration = Duration::from_secs(25);
/// Longest that the network may take to accept one event; a reader that slow is cut off.
pub const CHANNEL_SEND_WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest that the other end of an HTTP connection may leave unacknowledged what was sent (TCP_USER_TIMEOUT): two pings.
pub const CHANNEL_UNREAD_MAX: Duration = Duration::from_secs(50);
/// Longest that a client may take to answer our Close frame.
pub const CHANNEL_CLOSE_WAIT_MAX: Duration = Duration::from_secs(1);
/// Most subscription channels at one time, unless configured: some 300 MB with their sockets.
pub const CHANNELS_MAX: usize = 50_000;
/// Most subscription channels of one address at one time, unless configured: an office behind one NAT.
pub const CHANNELS_PER_SOURCE_MAX: usize = 1_000;

/// Longest that a client may take to send the head of an HTTP request (RELIABILITY A7).
pub const HTTP_HEAD_WAIT_MAX: Duration = Duration::from_secs(5);
/// What the kernel keeps of what an HTTP client has not read yet, bytes; it takes as much again for what it needs itself. An event has one
/// thousand.
pub const HTTP_SEND_BUFFER_BYTES: usize = 32_768;
/// Most HTTP connections, streams of events among them; the next ones wait in the kernel's queue.
pub const HTTP_CONNECTIONS_MAX: usize = CHANNELS_MAX + 4_096;
/// Connections that the kernel keeps for us until they are accepted: all the clients that come back after a restart.
pub const HTTP_BACKLOG: i32 = 4_096;
/// Most SIP transactions at a time, both ways; beyond it requests get 503 (RELIABILITY A5). Two of a bridged call for 32 s each, and
/// one of each parked call.
pub const SIP_TRANSACTIONS_MAX: usize = 262_144;
/// Most final answers without a transaction that are kept for repetitions: a few hundred refusals a second for 64*T1, some megabytes.
pub const SIP_ANSWERS_KEPT_MAX: usize = 16_384;
/// Most dialogs at a time, two a call.
pub const SIP_DIALOGS_MAX: usize = 262_144;
/// Most headers that are handed on from a caller to the telephones that are rung: more would crowd out our own.
pub const PASSED_HEADERS_MAX: usize = 8;
/// Most telephones that are rung for one call: more of one name are an office that wants a queue.
pub const TELEPHONES_RUNG_MAX: usize = 32;
/// Most branches of a forked INVITE of ours that are told apart when they answer; more are strange.
pub const SIP_FORKS_MAX: usize = 8;
/// Most reliable provisional responses of one branch that are acknowledged: one a minute (RFC 3261 §13.3.1.1) for an hour, and no endless
/// PRACKs for whoever only counts up.
pub const SIP_PRACKS_MAX: u32 = 64;
/// Most header fields that the call and the endpoint add to one message of ours.
pub const SIP_ADDED_HEADERS_MAX: usize = 24;
/// Most parameters of one Authorization or WWW-Authenticate value: RFC 7616 names eleven.
pub const SIP_AUTH_PARAMS_MAX: usize = 24;
/// How long a nonce of ours is good (RFC 7616 §3.3): a telephone that registers every few minutes needs a new one each time, and
/// gets it without asking anybody (`stale`).
pub const DIGEST_NONCE_LIFE: Duration = Duration::from_secs(300);
/// Most nonces whose count is remembered. Only those that proved a password are, so no stranger can fill it; beyond it the oldest are
/// taken back early.
pub const DIGEST_NONCES_MAX: usize = 65_536;
/// Shortest interval of a session timer, seconds (RFC 4028 §4): less would keep two machines busy with a call in which nothing happens.
pub const SESSION_SECONDS_MIN: u32 = 90;
/// How often a peer, or proxies before it, may ask for a longer interval before its refusal is one: each step has its own minimum.
pub const SESSION_RAISES_MAX: u8 = 3;
/// Shortest pause before a refresh that was refused is tried again.
pub const SESSION_RETRY_MIN: Duration = Duration::from_secs(2);
/// Longest time before its end at which a session that nobody refreshed gets its BYE (RFC 4028 §10).
pub const SESSION_END_EARLY_MAX: Duration = Duration::from_secs(32);
/// Longest that an UPDATE waits for the other side of a bridge: it gets its 504 before its sender gives up after 64*T1.
pub const UPDATE_WAIT_MAX: Duration = Duration::from_secs(20);
/// Most INFOs of one bridge that have no answer yet: a digit each, and nobody presses more in the time of a round trip.
pub const INFOS_OPEN_MAX: usize = 8;
/// Longest body of an INFO that is carried across a bridge, bytes: a digit and its length.
pub const INFO_BODY_BYTES_MAX: usize = 1024;
/// Most parts of a multipart body: a session description and what gateways add to it (RELIABILITY A14).
pub const SIP_BODY_PARTS_MAX: usize = 8;
/// Most contacts and subscriptions over SIP at one time: some 100 MB.
pub const BINDINGS_MAX: usize = 100_000;
/// Most of one name: a person's devices, several flows each.
pub const BINDINGS_PER_NAME_MAX: usize = 16;
/// Most of one address: an office behind one NAT.
pub const BINDINGS_PER_SOURCE_MAX: usize = 1_000;
/// Longest Contact value of a registration, bytes: real ones have less than 300.
pub const SIP_CONTACT_BYTES_MAX: usize = 1024;
/// Longest word of a push service for a device, bytes: Google's are some 160, Apple's 64, and the URLs of browsers' services up to 600.
pub const PUSH_PARAM_BYTES_MAX: usize = 900;
/// Most pushes of one service that are not done, waiting ones among them; beyond it they are dropped. Some kilobytes each.
pub const PUSHES_OPEN_MAX: usize = 2_000;
/// Most pushes whose answer is waited for at a time, of one host: HTTP/2 carries a hundred on one connection.
pub const PUSHES_ASKING_MAX: usize = 64;
/// How often a push is tried: what fails three times within a ring will fail again.
pub const PUSH_ATTEMPTS_MAX: u32 = 3;
/// Shortest pause before a push is tried again; each further one is longer by as much.
pub const PUSH_PAUSE_MIN: Duration = Duration::from_secs(1);
/// How long a push service may take to answer: they take some 100 ms, and a caller waits.
pub const PUSH_ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);
/// Longest answer of a push service that is read, bytes: an access token has some 1,000.
pub const PUSH_ANSWER_BYTES_MAX: usize = 16_384;
/// How long a push service may want not to be asked: with more, a slip of its own would silence it for days.
pub const PUSH_HELD_MAX: Duration = Duration::from_secs(600);
/// How long it is worth anything to tell a device that a call is over.
pub const PUSH_END_LIFE: Duration = Duration::from_secs(30);
/// Most calls at a time for which devices are woken; beyond it calls ring without them.
pub const PUSH_CALLS_MAX: usize = 20_000;
/// Words of the switch thread that wait for those who wake devices: a second of a busy switch.
pub const PUSH_WORDS_QUEUED_MAX: usize = 4_096;
/// Longest event in a push of the operator's own service, bytes.
pub const PUSH_EVENT_BYTES_MAX: usize = 65_536;
/// Longest event in a push of Apple's, bytes: the whole may have 5,120.
pub const APNS_EVENT_BYTES_MAX: usize = 5_000;
/// Longest event in a push of Google's, bytes: the data may have 4,096, keys included.
pub const FCM_EVENT_BYTES_MAX: usize = 4_000;
/// How long changes to the list of devices are gathered before it is written.
pub const DEVICES_WRITTEN_AFTER: Duration = Duration::from_secs(1);
/// Most proxies between a client that registers and us (RFC 3327): an edge, a load balancer, and as many again.
pub const PATHS_MAX: usize = 4;
/// Longest Path of a registration, all of its values together, bytes: Kamailio's are some 60 each, with a token of a flow 150.
pub const PATH_BYTES_MAX: usize = 1024;
/// Most sessions of the media benchmark: each takes four ports of one address.
pub const BENCH_SESSIONS_MAX: u16 = 10_000;
/// Clients over SIP that are told something between two looks at anything else: sealing and signing for each takes some 50 µs.
pub const BINDINGS_TOLD_AT_ONCE: usize = 32;
