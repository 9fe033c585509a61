// A web page's softphone, made with one of two libraries that others wrote: it subscribes, hears of a call, and calls back with the
// bridge token in a header. It has no sound of its own: where the media are is in the job, and the test plays them.
import JsSIP from "jssip";
import { Inviter, Registerer, RegistererState, SessionState, UserAgent } from "sip.js";

const report = (text) => fetch("/report", { method: "POST", body: text });

/// The description that the job gives, instead of what the browser would say.
const description = (sdp) => ({ body: sdp, contentType: "application/sdp" });

/// As much of a peer connection as JsSIP needs.
class FakeConnection extends EventTarget {
  iceGatheringState = "complete";
  iceConnectionState = "connected";
  connectionState = "connected";
  signalingState = "stable";
  localDescription = null;
  static sdp = "";

  async createOffer() {
    return { type: "offer", sdp: FakeConnection.sdp };
  }

  async setLocalDescription(given) {
    this.localDescription = given;
  }

  async setRemoteDescription(given) {
    this.remoteDescription = given;
    await report(`answer ${given.sdp.match(/m=audio (\d+)/)[1]}`);
  }

  addTrack() {}
  getSenders() {
    return [];
  }
  getReceivers() {
    return [];
  }
  close() {}
}

/// A promise, and what keeps it.
function later() {
  let keep;
  const promise = new Promise((resolve) => (keep = resolve));
  return [promise, keep];
}

/// What a MESSAGE tells of, if it is a call that waits.
function heard(body, keep) {
  const event = JSON.parse(body);
  if (event.type === "incoming") keep(event);
}

/// The first call that waits, heard over the subscription's own WebSocket.
function incoming(job) {
  return new Promise((resolve, reject) => {
    const channel = new WebSocket(job.subscribe);
    channel.onopen = () => channel.send(JSON.stringify({ type: "auth", token: job.jwt }));
    channel.onerror = () => reject(new Error("the subscription was refused"));
    channel.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      if (event.type === "incoming") resolve(event);
    };
  });
}

const headers = (job, event) => [`X-Bridge-Token: ${event.token}`, `Authorization: Bearer ${job.jwt}`];

async function withJsSip(job) {
  FakeConnection.sdp = job.sdp;
  window.RTCPeerConnection = FakeConnection;
  const agent = new JsSIP.UA({
    sockets: [new JsSIP.WebSocketInterface(job.sip)],
    uri: `sip:${job.user}@${job.host}`,
    register: Boolean(job.password),
    authorization_user: job.user,
    password: job.password,
    session_timers: false,
  });
  const [told, keep] = later();
  agent.on("newMessage", ({ originator, message, request }) => {
    if (originator === "remote") heard(request.body, keep);
    message.accept();
  });
  agent.on("registered", () => report("registered"));
  agent.on("registrationFailed", ({ cause }) => report(`error: not registered: ${cause}`));
  await new Promise((resolve, reject) => {
    agent.on("connected", resolve);
    agent.on("disconnected", () => reject(new Error("no connection")));
    agent.start();
  });
  await report("connected");
  const event = await (job.password ? told : incoming(job));
  const session = agent.call(event.callback.sip, {
    extraHeaders: headers(job, event),
    mediaStream: { getTracks: () => [] },
  });
  session.on("confirmed", () => report("confirmed"));
  session.on("failed", ({ message, cause }) => report(`failed ${message?.status_code ?? cause}`));
  session.on("ended", ({ originator }) => report(`ended ${originator}`));
  if (job.hangsUp) session.on("confirmed", () => setTimeout(() => session.terminate(), 500));
}

async function withSipJs(job) {
  const [told, keep] = later();
  const agent = new UserAgent({
    uri: UserAgent.makeURI(`sip:${job.user}@${job.host}`),
    transportOptions: { server: job.sip, keepAliveInterval: 1 },
    logBuiltinEnabled: false,
    authorizationUsername: job.user,
    authorizationPassword: job.password,
    delegate: {
      onMessage: (message) => {
        heard(message.request.body, keep);
        message.accept();
      },
    },
    sessionDescriptionHandlerFactory: () => ({
      close() {},
      getDescription: async () => description(job.sdp),
      hasDescription: (contentType) => contentType === "application/sdp",
      rollbackDescription: async () => {},
      setDescription: async (sdp) => report(`answer ${sdp.match(/m=audio (\d+)/)[1]}`),
      sendDtmf: () => false,
    }),
  });
  await agent.start();
  await report("connected");
  if (job.password) {
    const registerer = new Registerer(agent);
    registerer.stateChange.addListener((state) => {
      if (state === RegistererState.Registered) report("registered");
    });
    await registerer.register();
  }
  const event = await (job.password ? told : incoming(job));
  const inviter = new Inviter(agent, UserAgent.makeURI(event.callback.sip), { extraHeaders: headers(job, event) });
  inviter.stateChange.addListener((state) => {
    if (state === SessionState.Established) report("confirmed");
    if (state === SessionState.Established && job.hangsUp) setTimeout(() => inviter.bye(), 500);
    if (state === SessionState.Terminated) report("ended");
  });
  await inviter.invite({ requestDelegate: { onReject: ({ message }) => report(`failed ${message.statusCode}`) } });
}

try {
  const job = await (await fetch("/job")).json();
  await (job.library === "jssip" ? withJsSip(job) : withSipJs(job));
} catch (error) {
  await report(`error ${error?.stack ?? error}`);
}
