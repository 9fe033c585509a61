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
static long (*const change_version)(struct __sk_buff *, __be16 protocol, __u64 flags) = (void *)BPF_FUNC_skb_change_proto;
static long (*const replace_checksum)(struct __sk_buff *, __u32 at, __u64 from, __u64 to, __u64 flags) =
    (void *)BPF_FUNC_l4_csum_replace;
static long (*const redirect_neighbour)(__u32 interface, struct bpf_redir_neigh *, int, __u64) = (void *)BPF_FUNC_redirect_neigh;

enum {
    NEXT = -1, // TCX: the next program, then the stack
    LOOPBACK = 1, // the interface's index, in each network namespace
    ADDRESSES_MAX = 4,
    TYPES_MAX = 8,
    ETHERNET = 14,
    IPV4 = 0x0800,
    IPV6 = 0x86dd,
    UDP = 17,
    AF_INET = 2,
    AF_INET6 = 10,
    WAITING = 1, // a rule in force, whose packets are still with the socket
    RUNNING = 2,
    LENGTH_MAX = 1280, // what each link carries (RFC 8200 §5): beyond it the sockets know the path's
};

// An address; of IPv4 the first word.
struct address {
    __u32 words[4];
};

// One rule: packets for one of the relay's RTP ports. As `table.rs` has it; numbers of the wire are in its order.
struct rule {
    __u32 live; // 0: not in force; WAITING as it is written, RUNNING once a packet was taken
    __u32 interface; // where packets leave; 0: they are for a socket on this machine
    struct address peer; // who sends
    struct address source; // how packets leave
    struct address destination;
    __u16 peer_port;
    __u16 source_port;
    __u16 destination_port;
    __u16 version; // of IP, as packets leave
    struct type {
        __u32 clock_rate; // Hz; 0: none from here on
        __u8 here;
        __u8 there;
        __u16 unused;
    } types[TYPES_MAX];
    // What was measured, and what else there is to know.
    __u64 packets;
    __u64 octets;
    __u64 arrived; // the last one, microseconds
    __u64 jitter; // microseconds times 16 (RFC 3550 §A.8)
    __u32 timestamp;
    __u32 clock_rate; // of the last one; 0: there was none
    __u32 sequence; // of the last one
    __u32 ssrc;
    struct address next_hop; // on the interface's link
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
volatile const struct address addresses[ADDRESSES_MAX] = {0};
volatile const __u32 versions[ADDRESSES_MAX] = {0}; // 4 or 6; 0: there is no such address
volatile const __u32 port_first = 0; // even
volatile const __u32 pairs = 0;
volatile const __u32 class = 0; // the octet that holds the DSCP
volatile const __u32 hops4 = 64;
volatile const __u32 hops6 = 64;

// IPv4 without options.
struct ip4 {
    __u8 version, class;
    __u16 length;
    __u16 id, fragment;
    __u8 hops, protocol;
    __u16 checksum;
    __u32 source, destination;
};
// IPv6, with UDP at once behind it.
struct ip6 {
    __u32 flow; // version, class, flow label
    __u16 length;
    __u8 protocol, hops;
    struct address source, destination;
};
// UDP, and the part of RTP that a rule may change.
struct start {
    __u16 source_port, destination_port;
    __u16 length, checksum;
    __u8 first, second;
};
// UDP, RTP without CSRCs.
struct audio {
    struct start start;
    __u16 sequence;
    __u32 timestamp;
    __u32 ssrc;
} __attribute__((packed));
struct packet4 {
    __u8 ethernet[ETHERNET];
    struct ip4 ip;
    struct audio audio;
} __attribute__((packed));
struct packet6 {
    __u8 ethernet[ETHERNET];
    struct ip6 ip;
    struct audio audio;
} __attribute__((packed));

// One packet's beginning, whichever version of IP it has.
struct heard {
    __u32 version;
    __u16 id; // of IPv4
    struct address source, destination;
    struct audio audio;
};

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

INLINE __u64 sum_of_header(const struct ip4 *ip)
{
    const __u32 *words = (const void *)ip;
    return (__u64)words[0] + words[1] + words[2] + words[3] + words[4];
}

INLINE int is_same(__u32 version, const volatile struct address *one, const struct address *other)
{
    return one->words[0] == other->words[0] &&
           (version == 4 || (one->words[1] == other->words[1] && one->words[2] == other->words[2] &&
                             one->words[3] == other->words[3]));
}

// The rule for one of our ports, whether in force or not.
INLINE struct rule *rule_for(__u32 version, const struct address *address, __u32 port)
{
    __u32 offset = port - port_first;
    if (offset >= 2 * pairs || offset % 2)
        return 0;
    for (__u32 at = 0; at < ADDRESSES_MAX; at++) {
        __u32 key = at * pairs + offset / 2;
        if (versions[at] == version && is_same(version, &addresses[at], address))
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

// The ones' complement sum of an address.
INLINE __u64 sum_of(__u32 version, const struct address *address)
{
    __u64 sum = address->words[0];
    for (int at = 1; at < 4 && version == 6; at++)
        sum += address->words[at];
    return sum;
}

// The packet's new IP header. 0 if it was written. What the interface has summed of the whole packet is kept true: of IPv4's header the sum
// is always the same, of IPv6's it is not.
INLINE long write_header(struct __sk_buff *skb, const struct heard *heard, const struct rule *rule)
{
    if (rule->version == 4) {
        struct ip4 ip = {
            .version = 0x45,
            .class = class,
            .length = swap16(swap16(heard->audio.start.length) + sizeof(ip)),
            .id = heard->id,
            .fragment = swap16(0x4000), // as a connected socket does
            .hops = hops4,
            .protocol = UDP,
            .source = rule->source.words[0],
            .destination = rule->destination.words[0],
        };
        ip.checksum = ~fold16(sum_of_header(&ip));
        return store(skb, ETHERNET, &ip, sizeof(ip), heard->version == 4 ? 0 : BPF_F_RECOMPUTE_CSUM);
    }
    struct ip6 ip = {
        // The flow label is 0, which is none (RFC 6437 §2): the sender's was for another way.
        .flow = swap32(0x60000000 | class << 20),
        .length = heard->audio.start.length,
        .protocol = UDP,
        .hops = hops6,
        .source = rule->source,
        .destination = rule->destination,
    };
    return store(skb, ETHERNET, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM);
}

// Writes the packet's new beginning; its payload stays where it is. 0 if that was done.
INLINE long rewrite(struct __sk_buff *skb, const struct heard *heard, const struct rule *rule, __u8 second)
{
    const struct start *old = &heard->audio.start;
    struct start new = *old;
    new.source_port = rule->source_port;
    new.destination_port = rule->destination_port;
    new.second = second;
    // RFC 1624: of the UDP checksum only what changes is taken out and put in. One that was not computed yet, because the packet
    // has not left this machine, has the addresses in it and nothing else. Protocol and length are in it alike, whatever the version
    // (RFC 8200 §8.1).
    __u32 addresses_changed = fold32((__u64)~fold32(sum_of(heard->version, &heard->source) + sum_of(heard->version, &heard->destination)) +
                                     sum_of(rule->version, &rule->source) + sum_of(rule->version, &rule->destination));
    // The payload type is the lower octet of its word.
    __u32 rest_changed = fold32((__u64)(__u16)~old->source_port + (__u16)~old->destination_port +
                                (__u16)~swap16(old->second) + new.source_port + new.destination_port + swap16(second));
    __u32 start = rule->version == 4 ? __builtin_offsetof(struct packet4, audio) : __builtin_offsetof(struct packet6, audio);
    __u32 checksum = start + __builtin_offsetof(struct start, checksum);
    if (heard->version != rule->version && change_version(skb, swap16(rule->version == 4 ? IPV4 : IPV6), 0))
        return -1;
    // A checksum of 0 is none, and stays so (RFC 768); none becomes 0 by this.
    return write_header(skb, heard, rule) || store(skb, start, &new, sizeof(new), 0) ||
           replace_checksum(skb, checksum, 0, addresses_changed, BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0) ||
           replace_checksum(skb, checksum, 0, rest_changed, BPF_F_MARK_MANGLED_0);
}

// Whether a packet can leave with the version of IP that the rule has: IPv6 has a longer header, and always a checksum (RFC 8200 §8.1).
INLINE int fits(const struct heard *heard, const struct rule *rule)
{
    return rule->version == 4 || (heard->audio.start.checksum && swap16(heard->audio.start.length) + sizeof(struct ip6) <= LENGTH_MAX);
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
INLINE int carry(struct __sk_buff *skb, const struct heard *heard, struct rule *rule, __u32 live)
{
    const struct audio *audio = &heard->audio;
    __u8 second = audio->start.second;
    // RTP without padding, extension and CSRCs, and nothing beside it. STUN and DTLS begin otherwise (RFC 7983), RTCP has other types
    // (RFC 5761 §4).
    if (audio->start.first != 0x80 || (second >= 192 && second <= 223) || audio->ssrc != rule->ssrc ||
        (skb->ifindex == LOOPBACK) != !rule->interface)
        return 0;
    __u32 clock_rate = 0;
    __u8 there = 0;
    for (int at = 0; at < TYPES_MAX && !clock_rate; at++) {
        if (rule->types[at].here == (second & 0x7f)) {
            clock_rate = rule->types[at].clock_rate;
            there = rule->types[at].there;
        }
    }
    __u16 sequence = swap16(audio->sequence);
    if (!clock_rate || !fits(heard, rule) || !is_next(rule, live, sequence) || rewrite(skb, heard, rule, (second & 0x80) | there))
        return 0;
    rule->sequence = sequence;
    measure(rule, swap32(audio->timestamp), clock_rate);
    __sync_fetch_and_add(&rule->octets, swap16(audio->start.length) - sizeof(struct audio));
    // The last: who sees this one sees all of it.
    __sync_fetch_and_add(&rule->packets, 1);
    return 1;
}

// Out of the interface, to the station that the next hop is: only that is left for the kernel to look up.
INLINE int leave(const struct rule *rule)
{
    struct bpf_redir_neigh next = {.nh_family = rule->version == 4 ? AF_INET : AF_INET6};
    __builtin_memcpy(next.ipv6_nh, rule->next_hop.words, sizeof(next.ipv6_nh));
    return redirect_neighbour(rule->interface, &next, sizeof(next), 0);
}

// What becomes of a packet that has UDP and a whole header of RTP.
INLINE int judge(struct __sk_buff *skb, const struct heard *heard)
{
    const struct start *start = &heard->audio.start;
    struct rule *rule = rule_for(heard->version, &heard->destination, swap16(start->destination_port));
    if (!rule)
        return NEXT;
    __u32 live = state_of(rule);
    if (!live || !is_same(heard->version, &rule->peer, &heard->source) || rule->peer_port != start->source_port)
        return NEXT;
    if (!carry(skb, heard, rule, live)) {
        // It goes to the socket, and what follows must not overtake it.
        __sync_val_compare_and_swap(&rule->live, RUNNING, WAITING);
        return NEXT;
    }
    return rule->interface ? leave(rule) : NEXT;
}

// Whether so many octets are there to be read.
INLINE int has(struct __sk_buff *skb, __u32 length)
{
    void *end = (void *)(long)skb->data_end;
    return skb->len >= length && ((void *)(long)skb->data + length <= end || !pull(skb, length));
}

INLINE int judge4(struct __sk_buff *skb)
{
    if (!has(skb, sizeof(struct packet4)))
        return NEXT;
    const struct packet4 *packet = (void *)(long)skb->data;
    if ((void *)(packet + 1) > (void *)(long)skb->data_end)
        return NEXT;
    struct ip4 ip = packet->ip;
    __u32 length = swap16(ip.length);
    // No options; no fragment, whatever it says of others (0x4000 is "do not").
    if (ip.version != 0x45 || ip.protocol != UDP || ip.fragment & swap16(0xbfff) ||
        length < sizeof(struct ip4) + sizeof(struct audio) || length > LENGTH_MAX || ETHERNET + length > skb->len ||
        swap16(packet->audio.start.length) + sizeof(struct ip4) != length || fold16(sum_of_header(&ip)) != 0xffff)
        return NEXT;
    struct heard heard = {
        .version = 4,
        .id = ip.id,
        .source = {{ip.source}},
        .destination = {{ip.destination}},
        .audio = packet->audio,
    };
    return judge(skb, &heard);
}

INLINE int judge6(struct __sk_buff *skb)
{
    if (!has(skb, sizeof(struct packet6)))
        return NEXT;
    const struct packet6 *packet = (void *)(long)skb->data;
    if ((void *)(packet + 1) > (void *)(long)skb->data_end)
        return NEXT;
    struct heard heard = {
        .version = 6,
        .source = packet->ip.source,
        .destination = packet->ip.destination,
        .audio = packet->audio,
    };
    __u32 length = swap16(packet->ip.length);
    // No extension headers, fragments among them. RFC 8200 §8.1: there is always a checksum.
    if (swap32(packet->ip.flow) >> 28 != 6 || packet->ip.protocol != UDP || length < sizeof(struct audio) ||
        length + sizeof(struct ip6) > LENGTH_MAX || ETHERNET + sizeof(struct ip6) + length > skb->len ||
        heard.audio.start.length != packet->ip.length || !heard.audio.start.checksum)
        return NEXT;
    return judge(skb, &heard);
}

SECTION("classifier") int forward(struct __sk_buff *skb)
{
    if (skb->pkt_type || skb->vlan_present || skb->gso_size)
        return NEXT;
    if (skb->protocol == swap16(IPV4))
        return judge4(skb);
    return skb->protocol == swap16(IPV6) ? judge6(skb) : NEXT;
}

char terms[] SECTION("license") = "Dual MIT/GPL";
