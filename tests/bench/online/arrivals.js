// k6: requests arrive at a constant rate, whether or not those before were answered.
import http from "k6/http";
import { SharedArray } from "k6/data";
import exec from "k6/execution";

const bodies = new SharedArray("bodies", () => open(__ENV.BENCH_BODIES).trim().split("\n"));
const offset = Number(__ENV.BENCH_OFFSET);
const params = { headers: { "Content-Type": "application/json" } };

export const options = {
  discardResponseBodies: true,
  summaryTrendStats: ["med", "p(90)", "p(99)", "p(99.9)", "max"],
  scenarios: {
    arrivals: {
      executor: "constant-arrival-rate",
      rate: Number(__ENV.BENCH_RATE),
      timeUnit: "1s",
      duration: `${__ENV.BENCH_SECONDS}s`,
      // More connections are opened only while all of these wait.
      preAllocatedVUs: Number(__ENV.BENCH_CONNECTIONS),
      maxVUs: 20 * Number(__ENV.BENCH_CONNECTIONS),
      gracefulStop: "5s",
    },
  },
};

export default function () {
  http.post(__ENV.BENCH_URL, bodies[(offset + exec.scenario.iterationInTest) % bodies.length], params);
}

export function handleSummary(data) {
  const times = data.metrics.http_req_duration.values;
  const dropped = data.metrics.dropped_iterations;
  return {
    stdout: "RESULT " + JSON.stringify({
      requests: data.metrics.http_reqs.values.count,
      failed: data.metrics.http_req_failed.values.passes,
      dropped: dropped ? dropped.values.count : 0,
      connections: data.metrics.vus_max.values.max,
      p50_ms: times.med,
      p90_ms: times["p(90)"],
      p99_ms: times["p(99)"],
      p999_ms: times["p(99.9)"],
      max_ms: times.max,
    }) + "\n",
  };
}
