// A web page that hears of calls by an EventSource and by a WebSocket, and comes back where it was when its network breaks.
// An EventSource can set no header, so the page gets a ticket for each stream; what it heard last, it says in the URL.
const report = (text) => fetch("/report", { method: "POST", body: text });
const job = await (await fetch("/job")).json();
const last = {};

const heard = (way, event) => {
  last[way] = event.id ?? last[way];
  if (event.type === "hello") report(`${way} hello ${event.resumed}`);
  if (event.type === "synced") report(`${way} synced`);
  if (event.call) report(`${way} ${event.type} ${event.call}`);
};

const query = (way) => `name=demo${last[way] ? `&last=${last[way]}` : ""}`;
const again = (open) => setTimeout(open, 100);

const stream = async () => {
  try {
    const headers = { authorization: `Bearer ${job.jwt}` };
    const answer = await fetch(`http://${job.daemon}/v1/tickets?name=demo`, { method: "POST", headers });
    const { ticket } = await answer.json();
    const source = new EventSource(`http://${job.daemon}/v1/subscribe?${query("stream")}&ticket=${ticket}`);
    source.onmessage = ({ data }) => heard("stream", JSON.parse(data));
    source.onerror = () => {
      source.close();
      again(stream);
    };
  } catch {
    again(stream);
  }
};

const channel = () => {
  const socket = new WebSocket(`ws://${job.daemon}/v1/subscribe?${query("socket")}`);
  socket.onopen = () => socket.send(JSON.stringify({ type: "auth", token: job.jwt }));
  socket.onmessage = ({ data }) => heard("socket", JSON.parse(data));
  socket.onclose = () => again(channel);
};

stream();
channel();
