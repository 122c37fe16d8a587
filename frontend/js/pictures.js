// Which series make which graph, and how their values are written.
const POWERS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

function bytes(value, digits) {
  const power = value < 1 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), POWERS.length - 1);
  const scaled = value / 1024 ** power;
  return `${scaled.toFixed(power && scaled < 100 ? digits : 0)} ${POWERS[power]}`;
}

function plain(value) {
  return String(Number(value.toPrecision(3)));
}

// Round numbers for bytes: powers of two, from one byte on.
const BINARY = Array.from({ length: 55 }, (_one, power) => 2 ** power);

export const UNITS = {
  share: { tick: (value) => `${plain(value * 100)} %`, full: (value) => `${(value * 100).toFixed(1)} %` },
  cores: { tick: plain, full: (value) => `${value.toFixed(2)} cores` },
  bytes: { tick: (value) => bytes(value, 0), full: (value) => bytes(value, 1), steps: BINARY },
  rate: { tick: (value) => `${bytes(value, 0)}/s`, full: (value) => `${bytes(value, 1)}/s`, steps: BINARY },
  watts: { tick: (value) => `${plain(value)} W`, full: (value) => `${value.toFixed(1)} W` },
};

function line(label, name) {
  return { label, values: (series) => series[name].avg };
}

// The highest values of each point, drawn below the averages.
function highest(name) {
  return { label: "Highest", under: true, values: (series) => series[name].max };
}

function difference(label, whole, rest) {
  const values = (series) =>
    series[whole].avg.map((value, place) => (value == null || series[rest].avg[place] == null ? null : value - series[rest].avg[place]));
  return { label, values };
}

const DISK = { unit: "rate", least: 1024, needs: ["disk_read", "disk_write"], lines: [line("Read", "disk_read"), line("Write", "disk_write")] };
const NETWORK = {
  unit: "rate",
  least: 1024,
  needs: ["net_receive", "net_transmit"],
  lines: [line("Received", "net_receive"), line("Sent", "net_transmit")],
};

export const PICTURES = {
  vm: {
    cpu: { unit: "cores", limit: "vcpus", needs: ["cpu"], lines: [highest("cpu"), line("Average", "cpu")] },
    memory: {
      unit: "bytes",
      least: 1048576,
      needs: ["memory", "memory_total", "memory_available"],
      lines: [line("On the host", "memory"), difference("Used inside", "memory_total", "memory_available")],
    },
    disk: DISK,
    network: NETWORK,
  },
  host: {
    cpu: { unit: "share", least: 1, needs: ["cpu", "iowait"], lines: [line("Busy", "cpu"), line("Waiting for disks", "iowait")] },
    memory: {
      unit: "bytes",
      least: 1048576,
      needs: ["memory_total", "memory_available", "swap_used"],
      lines: [difference("Used", "memory_total", "memory_available"), line("Swap", "swap_used"), line("Total", "memory_total")],
    },
    disk: DISK,
    network: NETWORK,
    watts: { unit: "watts", least: 10, needs: ["watts"], lines: [highest("watts"), line("Average", "watts")] },
  },
};
