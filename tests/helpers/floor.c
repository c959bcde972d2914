/* The floor of what a sensor costs: programs that do nothing, at the hooks of sensor's default profile. It says "ready"
 * and keeps them until its input ends.
 *
 * The bytecode is two instructions, r0 = RESULT and exit, so nothing is compiled; the hooks' type numbers are looked up
 * in the kernel's BTF.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static long bpf(int command, union bpf_attr *attributes)
{
    return syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

/* The number of the type that a tracepoint has in BTF: a typedef. Entries have no index, so all are walked. */
static unsigned tracepoint(const char *btf, const char *name)
{
    const struct btf_header *header = (const void *)btf;
    const char *at = btf + header->hdr_len + header->type_off, *end = at + header->type_len;
    const char *strings = btf + header->hdr_len + header->str_off;
    for (unsigned id = 1; at < end; id++) {
        const struct btf_type *type = (const void *)at;
        unsigned kind = BTF_INFO_KIND(type->info), count = BTF_INFO_VLEN(type->info);
        if (kind == BTF_KIND_TYPEDEF && !strncmp(strings + type->name_off, "btf_trace_", 10)
            && !strcmp(strings + type->name_off + 10, name))
            return id;
        at += sizeof *type;
        switch (kind) {
        case BTF_KIND_INT: case BTF_KIND_VAR: case BTF_KIND_DECL_TAG: at += 4; break;
        case BTF_KIND_ARRAY: case BTF_KIND_STRUCT: case BTF_KIND_UNION: case BTF_KIND_DATASEC: case BTF_KIND_ENUM64:
            at += 12 * (kind == BTF_KIND_ARRAY ? 1 : count); break;
        case BTF_KIND_ENUM: case BTF_KIND_FUNC_PROTO: at += 8 * count; break;
        }
    }
    fprintf(stderr, "floor: the kernel's BTF has no tracepoint %s\n", name);
    exit(1);
}

static int load(int type, int attach_type, unsigned btf_id, int result)
{
    struct bpf_insn code[] = {
        { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = result },
        { .code = BPF_JMP | BPF_EXIT },
    };
    union bpf_attr attributes = {
        .prog_type = type,
        .insns = (unsigned long)code,
        .insn_cnt = 2,
        .license = (unsigned long)"GPL",
        .expected_attach_type = attach_type,
    };
    attributes.attach_btf_id = btf_id;
    int program = bpf(BPF_PROG_LOAD, &attributes);
    if (program < 0)
        fail("BPF_PROG_LOAD");
    return program;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "floor: name the root of the cgroup v2 hierarchy\n");
        return 2;
    }
    int file = open("/sys/kernel/btf/vmlinux", O_RDONLY);
    struct stat stat;
    if (file < 0 || fstat(file, &stat))
        fail("/sys/kernel/btf/vmlinux");
    char *btf = malloc(stat.st_size);
    for (long got = 0, some; got < stat.st_size; got += some)
        if ((some = read(file, btf + got, stat.st_size - got)) <= 0)
            fail("/sys/kernel/btf/vmlinux");
    const char *tracepoints[] = {
        "sched_process_fork", "sched_process_exec", "sched_process_exit", "sys_exit", "inet_sock_set_state",
    };
    for (unsigned at = 0; at < sizeof tracepoints / sizeof *tracepoints; at++) {
        union bpf_attr attributes = { 0 };
        attributes.raw_tracepoint.prog_fd
            = load(BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP, tracepoint(btf, tracepoints[at]), 0);
        if (bpf(BPF_RAW_TRACEPOINT_OPEN, &attributes) < 0)
            fail(tracepoints[at]);
    }
    int root = open(argv[1], O_RDONLY | O_DIRECTORY);
    if (root < 0)
        fail(argv[1]);
    int sockets[] = { BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_INET6_CONNECT };
    for (unsigned at = 0; at < 2; at++) {
        union bpf_attr attributes = { 0 };
        attributes.link_create.prog_fd = load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, sockets[at], 0, 1);
        attributes.link_create.target_fd = root;
        attributes.link_create.attach_type = sockets[at];
        if (bpf(BPF_LINK_CREATE, &attributes) < 0)
            fail("BPF_LINK_CREATE");
    }
    free(btf);
    puts("ready");
    fflush(stdout);
    while (read(0, &stat, 1) > 0)
        ;
    return 0;
}
