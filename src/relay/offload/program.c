// The relay's way through the kernel: what becomes of a packet of audio before its socket would be looked for.
// A packet that matches a rule in every respect leaves here as the relay's other socket would send it. All else goes on to the
// sockets as it came (NEXT): this program never drops anything. Which rules there are is the business of `relay::offload`.
//
// Built by Debian's clang with `build`, whose output is committed beside it; `tests/offload.rs` compares.

#include <linux/bpf.h>

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))

static void *(*const lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static __u64 (*const nanoseconds)(void) = (void *)BPF_FUNC_ktime_get_ns;
static long (*const pull)(struct __sk_buff *, __u32 length) = (void *)BPF_FUNC_skb_pull_data;
static long (*const store)(struct __sk_buff *, __u32 at, const void *, __u32 length, __u64 flags) =
    (void *)BPF_FUNC_skb_store_bytes;
static long (*const replace_checksum)(struct __sk_buff *, __u32 at, __u64 from, __u64 to, __u64 flags) =
    (void *)BPF_FUNC_l4_csum_replace;
static long (*const redirect_neighbour)(__u32 interface, void *, int, __u64) = (void *)BPF_FUNC_redirect_neigh;

enum {
    NEXT = -1, // TCX: the next program, then the stack
    LOOPBACK = 1, // the interface's index, in each network namespace
    ADDRESSES_MAX = 4,
    TYPES_MAX = 8,
    ETHERNET = 14,
    UDP = 17,
    WAITING = 1, // a rule in force, whose packets are still with the socket
    RUNNING = 2,
    LENGTH_MAX = 1280, // what each link carries (RFC 8200 §5): beyond it the sockets know the path's
};

// One rule: packets for one of the relay's RTP ports. As `table.rs` has it; numbers of the wire are in its order.
struct rule {
    __u32 live; // 0: not in force; WAITING as it is written, RUNNING once a packet was taken
    __u32 interface; // where packets leave; 0: they are for a socket on this machine
    __u32 peer; // who sends
    __u32 ssrc;
    __u32 source; // how packets leave
    __u32 destination;
    __u16 peer_port;
    __u16 source_port;
    __u16 destination_port;
    __u16 unused;
    __u64 spare[4];
    struct type {
        __u32 clock_rate; // Hz; 0: none from here on
        __u8 here;
        __u8 there;
        __u16 unused;
    } types[TYPES_MAX];
    // What was measured.
    __u64 packets;
    __u64 octets;
    __u64 arrived; // the last one, microseconds
    __u64 jitter; // microseconds times 16 (RFC 3550 §A.8)
    __u32 timestamp;
    __u32 clock_rate; // of the last one; 0: there was none
    __u32 sequence; // of the last one
    __u32 spare_too[5];
};

// One for each RTP port of each address; the file says how many.
struct {
    int (*type)[BPF_MAP_TYPE_ARRAY];
    int (*map_flags)[BPF_F_MMAPABLE];
    int (*max_entries)[1];
    __u32 *key;
    struct rule *value;
} rules SECTION(".maps");

// What the relay was started with.
volatile const __u32 addresses[ADDRESSES_MAX] = {0}; // 0: none
volatile const __u32 port_first = 0; // even
volatile const __u32 pairs = 0;
volatile const __u32 class = 0; // the octet that holds the DSCP
volatile const __u32 hops = 64;

// IPv4 without options, UDP, RTP without CSRCs.
struct start {
    __u8 version, class;
    __u16 length;
    __u16 id, fragment;
    __u8 hops, protocol;
    __u16 checksum;
    __u32 source, destination;
    __u16 source_port, destination_port;
};
struct packet {
    struct start ip;
    __u16 udp_length, udp_checksum;
    __u8 first, second;
    __u16 sequence;
    __u32 timestamp;
    __u32 ssrc;
};
enum { HEADERS = ETHERNET + sizeof(struct packet) };

INLINE __u16 swap16(__u16 number) { return __builtin_bswap16(number); }
INLINE __u32 swap32(__u32 number) { return __builtin_bswap32(number); }

// The ones' complement sum of 32-bit words (RFC 1071), to 32 and to 16 bits.
INLINE __u32 fold32(__u64 sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    return (sum & 0xffffffff) + (sum >> 32);
}

INLINE __u16 fold16(__u64 sum)
{
    __u32 folded = fold32(sum);
    folded = (folded & 0xffff) + (folded >> 16);
    return (folded & 0xffff) + (folded >> 16);
}

INLINE __u64 sum_of_header(const struct start *ip)
{
    const __u32 *words = (const void *)ip;
    return (__u64)words[0] + words[1] + words[2] + words[3] + words[4];
}

// The rule for one of our ports, whether in force or not.
INLINE struct rule *rule_for(__u32 address, __u32 port)
{
    __u32 offset = port - port_first;
    if (offset >= 2 * pairs || offset % 2)
        return 0;
    for (__u32 at = 0; at < ADDRESSES_MAX; at++) {
        __u32 key = at * pairs + offset / 2;
        if (addresses[at] && addresses[at] == address)
            return lookup(&rules, &key);
    }
    return 0;
}

INLINE __u32 state_of(struct rule *rule)
{
    // The second look is a barrier: what is read after it was written before the rule was.
    return *(volatile __u32 *)&rule->live ? __sync_fetch_and_or(&rule->live, 0) : 0;
}

// RFC 3550 §A.8 in its integer form, as `media::statistics` has it.
INLINE void measure(struct rule *rule, __u32 timestamp, __u32 clock_rate)
{
    __u64 now = nanoseconds() / 1000;
    if (rule->clock_rate == clock_rate) {
        __s64 units = (__s32)(timestamp - rule->timestamp);
        __s64 sent = (units < 0 ? -units : units) * 1000000ull / clock_rate;
        __s64 difference = (units < 0 ? -sent : sent) - (__s64)(now - rule->arrived);
        __u64 jitter = rule->jitter;
        rule->jitter = jitter - ((jitter + 8) >> 4) + (difference < 0 ? -difference : difference);
    }
    rule->arrived = now;
    rule->timestamp = timestamp;
    rule->clock_rate = clock_rate;
}

// Writes the packet's new beginning; its payload stays where it is. 0 if that was done.
INLINE long rewrite(struct __sk_buff *skb, const struct start *old, const struct start *new, __u16 type, __u16 new_type)
{
    // RFC 1624: of the UDP checksum only what changes is taken out and put in. One that was not computed yet, because the packet
    // has not left this machine, has the addresses in it and nothing else.
    __u32 addresses_changed = fold32((__u64)(__u32)~old->source + (__u32)~old->destination + new->source + new->destination);
    __u32 rest_changed = fold32((__u64)(__u16)~old->source_port + (__u16)~old->destination_port + (__u16)~type +
                                new->source_port + new->destination_port + new_type);
    __u32 checksum = ETHERNET + __builtin_offsetof(struct packet, udp_checksum);
    // A checksum of 0 is none, and stays so (RFC 768).
    return store(skb, ETHERNET, new, sizeof(*new), 0) ||
           store(skb, ETHERNET + __builtin_offsetof(struct packet, first), &new_type, sizeof(new_type), 0) ||
           replace_checksum(skb, checksum, 0, addresses_changed, BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0) ||
           replace_checksum(skb, checksum, 0, rest_changed, BPF_F_MARK_MANGLED_0);
}

// Whether the kernel may take a packet: the one after the last. What is late, comes twice or leaves a gap is for `media::statistics` to count.
// After others of the same stream went to the socket it is taken up again when that has sent the one before it, or it would overtake what still
// waits there.
INLINE int is_next(struct rule *rule, __u32 live, __u16 sequence)
{
    if (sequence != (__u16)(rule->sequence + 1))
        return 0;
    return live != WAITING || __sync_val_compare_and_swap(&rule->live, WAITING, RUNNING) == WAITING;
}

// Rewrites and counts a packet from the peer if the rule is for it in every respect; whether it did.
INLINE int carry(struct __sk_buff *skb, const struct packet *packet, const struct start *old, struct rule *rule,
                 __u32 live)
{
    __u32 length = swap16(old->length);
    __u8 second = packet->second;
    // RTP without padding, extension and CSRCs, and nothing beside it. STUN and DTLS begin otherwise (RFC 7983), RTCP has other types
    // (RFC 5761 §4).
    if (swap16(packet->udp_length) + 20 != length || packet->first != 0x80 || (second >= 192 && second <= 223) ||
        packet->ssrc != rule->ssrc || (skb->ifindex == LOOPBACK) != !rule->interface)
        return 0;
    __u32 clock_rate = 0;
    __u8 there = 0;
    for (int at = 0; at < TYPES_MAX && !clock_rate; at++) {
        if (rule->types[at].here == (second & 0x7f)) {
            clock_rate = rule->types[at].clock_rate;
            there = rule->types[at].there;
        }
    }
    __u32 timestamp = swap32(packet->timestamp);
    __u16 sequence = swap16(packet->sequence);
    if (!clock_rate || !is_next(rule, live, sequence))
        return 0;
    struct start new = {
        .version = 0x45,
        .class = class,
        .length = old->length,
        .id = old->id,
        .fragment = swap16(0x4000), // as a connected socket does
        .hops = hops,
        .protocol = UDP,
        .source = rule->source,
        .destination = rule->destination,
        .source_port = rule->source_port,
        .destination_port = rule->destination_port,
    };
    new.checksum = ~fold16(sum_of_header(&new));
    __u8 types[2][2] = {{0x80, second}, {0x80, (second & 0x80) | there}};
    if (rewrite(skb, old, &new, *(__u16 *)types[0], *(__u16 *)types[1]))
        return 0;
    rule->sequence = sequence;
    measure(rule, timestamp, clock_rate);
    __sync_fetch_and_add(&rule->octets, length - sizeof(struct packet));
    // The last: who sees this one sees all of it.
    __sync_fetch_and_add(&rule->packets, 1);
    return 1;
}

SECTION("classifier") int forward(struct __sk_buff *skb)
{
    if (skb->protocol != swap16(0x0800) || skb->pkt_type || skb->vlan_present || skb->gso_size || skb->len < HEADERS)
        return NEXT;
    const struct packet *packet = (void *)(long)skb->data + ETHERNET;
    if ((void *)(packet + 1) > (void *)(long)skb->data_end) {
        if (pull(skb, HEADERS))
            return NEXT;
        packet = (void *)(long)skb->data + ETHERNET;
        if ((void *)(packet + 1) > (void *)(long)skb->data_end)
            return NEXT;
    }
    struct start old = packet->ip;
    __u32 length = swap16(old.length);
    // No options; no fragment, whatever it says of others (0x4000 is "do not").
    if (old.version != 0x45 || old.protocol != UDP || old.fragment & swap16(0xbfff) ||
        length < sizeof(struct packet) || length > LENGTH_MAX || ETHERNET + length > skb->len ||
        fold16(sum_of_header(&old)) != 0xffff)
        return NEXT;
    struct rule *rule = rule_for(old.destination, swap16(old.destination_port));
    if (!rule)
        return NEXT;
    __u32 live = state_of(rule);
    if (!live || rule->peer != old.source || rule->peer_port != old.source_port)
        return NEXT;
    __u32 interface = rule->interface;
    if (!carry(skb, packet, &old, rule, live)) {
        // It goes to the socket, and what follows must not overtake it.
        __sync_val_compare_and_swap(&rule->live, RUNNING, WAITING);
        return NEXT;
    }
    return interface ? redirect_neighbour(interface, 0, 0, 0) : NEXT;
}

char terms[] SECTION("license") = "Dual MIT/GPL";
