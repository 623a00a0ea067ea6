/* Excess balanced risk of logistic regression between two Gaussian classes, to all orders in p/n.
 *
 * The equations are those of docs/theory.md, section 8 (independent rows) and 3.4 (a generator that is
 * fitted to seeds), for classes N(∓Δ/2 e₁, I) in d dimensions. By symmetry the rule is (w, 0, …, 0, b):
 * every matrix is a block [11, 1b, bb] over the first feature and the intercept, and one number for each
 * of the other d − 1 features.
 */
"use strict";

const OpalTheory = (() => {
  // Trapezoidal rule for E f(t), t ~ N(0, 1); and Gauss and Hermite nodes for the narrow noise of a score.
  const NODES = (() => {
    const reach = 6.5, count = 31, t = [], mass = [];
    for (let i = 0; i < count; i++) {
      t.push(-reach + (2 * reach * i) / (count - 1));
      mass.push(Math.exp((-t[i] * t[i]) / 2));
    }
    const total = mass.reduce((a, b) => a + b);
    return { t, mass: mass.map((m) => m / total) };
  })();
  const NOISE = {
    t: [-4.144547186125894, -2.802485861287542, -1.636519042435108, -0.5390798113513751,
      0.5390798113513751, 1.636519042435108, 2.802485861287542, 4.144547186125894],
    mass: [0.00011261453837536777, 0.009635220120788265, 0.11723990766175904, 0.3730122576790774,
      0.3730122576790774, 0.11723990766175904, 0.009635220120788265, 0.00011261453837536777],
  };

  const sigmoid = (u) => (u >= 0 ? 1 / (1 + Math.exp(-u)) : Math.exp(u) / (1 + Math.exp(u)));
  const softplus = (u) => Math.max(u, 0) + Math.log1p(Math.exp(-Math.abs(u)));

  // Of a block: form of (x, 1), product with a vector, inverse, and product A B A.
  const form = (m, x) => m[0] * x * x + 2 * m[1] * x + m[2];
  const times = (m, v) => [m[0] * v[0] + m[1] * v[1], m[1] * v[0] + m[2] * v[1]];
  function inverse(m) {
    const det = m[0] * m[2] - m[1] * m[1];
    return [m[2] / det, -m[1] / det, m[0] / det];
  }
  function sandwich(a, b) {
    const first = times(a, times(b, [a[0], a[1]]));
    const second = times(a, times(b, [a[1], a[2]]));
    return [first[0], first[1], second[1]];
  }

  /* Real rows of the small class. */
  const few = (s) => Math.max(2, Math.round(s.n / s.imbalance));

  /* Rows of one kind: how many, the weight of each, their label, and the mean of their first feature. */
  function kinds(s) {
    const half = s.distance / 2, bulk = (1 - s.alpha) / (2 * s.n), each = s.alpha / (2 * s.augmented);
    return [
      { number: s.n, size: bulk, label: 0, mean: -half },
      { number: few(s), size: bulk, label: 1, mean: half },
      { number: s.n - few(s), size: bulk, label: 1, mean: half - s.shift, synthetic: true },
      { number: s.augmented, size: each, label: 0, mean: -half, synthetic: true, augmented: true },
      { number: s.augmented, size: each, label: 1, mean: half - s.shift, synthetic: true, augmented: true },
    ].filter((kind) => kind.number > 0 && kind.size > 0);
  }

  /* The real rows alone, each class with the same total weight. */
  function weighted(s) {
    const half = s.distance / 2;
    return [
      { number: s.n, size: 1 / (2 * s.n), label: 0, mean: -half },
      { number: few(s), size: 1 / (2 * few(s)), label: 1, mean: half },
    ];
  }

  /* Means over N(mean, 1) of a kind's features under the rule θ = [w, b]. */
  function moments(theta, kind) {
    const [w, b] = theta;
    const m = { slope: [0, 0], curved: [0, 0, 0], square: [0, 0, 0], third: [0, 0] };
    for (let i = 0; i < NODES.t.length; i++) {
      const x = kind.mean + NODES.t[i], p = sigmoid(w * x + b), mass = NODES.mass[i];
      const s = (p - kind.label) * mass, c = p * (1 - p) * mass, q = (p - kind.label) * s;
      m.slope[0] += s * x; m.slope[1] += s;
      m.curved[0] += c * x * x; m.curved[1] += c * x; m.curved[2] += c;
      m.square[0] += q * x * x; m.square[1] += q * x; m.square[2] += q;
      m.third[0] += c * (1 - 2 * p) * x; m.third[1] += c * (1 - 2 * p);
    }
    return m;
  }

  /* Where the mean gradient of all rows vanishes, and the inverse Hessian there. */
  function pseudoTarget(rows, start) {
    let theta = start.slice();
    for (let n = 0; n < 60; n++) {
      const slope = [0, 0], curved = [0, 0, 0];
      for (const kind of rows) {
        const m = moments(theta, kind), total = kind.number * kind.size;
        for (let i = 0; i < 2; i++) slope[i] += total * m.slope[i];
        for (let i = 0; i < 3; i++) curved[i] += total * m.curved[i];
      }
      const move = times(inverse(curved), slope);
      const length = Math.min(1, 2 / Math.hypot(...move));
      theta = [theta[0] - length * move[0], theta[1] - length * move[1]];
      if (Math.hypot(...move) < 1e-10) break;
    }
    return theta;
  }

  /* What fitting mean and covariance to s.seeds rows of each class adds: noise of the gradient, its
   * derivative in θ, and drift (docs/theory.md, 3.4 and equation 8.7). */
  function fitted(s, rows, theta) {
    if (!Number.isFinite(s.seeds)) return null;
    const made = [0, 1].map((label) =>
      rows.filter((k) => k.label === label && k.synthetic).reduce((a, k) => a + k.number * k.size, 0));
    const means = [-s.distance / 2, s.distance / 2 - s.shift];
    function noise(at) {
      const block = [0, 0, 0];
      let across = 0;
      for (const label of [0, 1]) {
        const scale = (made[label] * made[label]) / s.seeds, w = at[0];
        const m = moments(at, { mean: means[label], label });
        const flat = m.curved[2];
        const linear = [w * m.curved[1] + m.slope[1], w * flat];
        const bent = [0.5 * w * w * m.third[0] + w * flat, 0.5 * w * w * m.third[1]];
        block[0] += scale * (linear[0] * linear[0] + 2 * bent[0] * bent[0]);
        block[1] += scale * (linear[0] * linear[1] + 2 * bent[0] * bent[1]);
        block[2] += scale * (linear[1] * linear[1] + 2 * bent[1] * bent[1]);
        across += scale * (m.slope[1] * m.slope[1] + w * w * flat * flat);
      }
      return { block, across };
    }
    function moved(at) {
      let total = 0;
      const w = at[0];
      for (const label of [0, 1]) {
        let value = 0;
        const wider = Math.abs(w) * Math.sqrt(1 + 1 / s.seeds), centre = w * means[label] + at[1];
        for (let i = 0; i < NODES.t.length; i++) {
          const u = centre + Math.abs(w) * NODES.t[i], p = sigmoid(u), c = p * (1 - p);
          const fourth = c * (1 - 6 * c);
          value += NODES.mass[i] * (softplus(centre + wider * NODES.t[i]) - softplus(u)
            - label * (wider - Math.abs(w)) * NODES.t[i] + (0.25 * fourth * w ** 4) / (s.seeds - 1));
        }
        total += made[label] * value;
      }
      return total;
    }
    const h = 1e-4;
    const around = [0, 1].map((i) => [1, -1].map((sign) => {
      const at = theta.slice();
      at[i] += sign * h;
      return { noise: noise(at), moved: moved(at) };
    }));
    return {
      ...noise(theta),
      slope: around.map(([up, down]) => ({
        block: up.noise.block.map((v, i) => (v - down.noise.block[i]) / (2 * h)),
        across: (up.noise.across - down.noise.across) / (2 * h),
      })),
      drift: around.map(([up, down]) => (up.moved - down.moved) / (2 * h)),
    };
  }

  /* ½ Σ K_pq ∂V_pq/∂θ of a fitted generator, less its drift. */
  function pullOf(fit, response, others) {
    if (!fit) return [0, 0];
    return fit.slope.map((v, i) => 0.5 * (response.block[0] * v.block[0] + 2 * response.block[1] * v.block[1]
      + response.block[2] * v.block[2] + others * response.across * v.across) - fit.drift[i]);
  }

  /* What a kind of rows adds: E ℓ'(v)x̃, E ℓ''(v)/(1 + γℓ''(v)) x̃x̃ᵀ and E ℓ'(v)² x̃x̃ᵀ. */
  function contribution(kind, centre, covariance, response, others, memory) {
    const mean = [0, 0], curved = [0, 0, 0], square = [0, 0, 0];
    let flat = 0, level = 0;
    const [w, b] = centre, nNoise = NOISE.t.length;
    for (let i = 0; i < NODES.t.length; i++) {
      const x = kind.mean + NODES.t[i], u0 = w * x + b;
      const spread = Math.sqrt(form(covariance.block, x) + others * covariance.across);
      const gamma = kind.size * (form(response.block, x) + others * response.across);
      let s0 = 0, c0 = 0, q0 = 0;
      for (let j = 0; j < nNoise; j++) {
        const u = u0 + spread * NOISE.t[j], place = i * nNoise + j;
        let v = Math.min(Math.max(memory ? memory[place] : 0, u - gamma), u + gamma);
        if (!memory || !(Math.abs(v) < 1e6)) v = Math.min(Math.max(0, u - gamma), u + gamma);
        let slope, curve;
        for (let n = 0; n < 60; n++) {
          const p = sigmoid(v);
          slope = p - kind.label; curve = p * (1 - p);
          const move = (u - v - gamma * slope) / (1 + gamma * curve);
          v += move;
          if (Math.abs(move) < 1e-7 * (1 + Math.abs(v))) {
            slope += curve * move;
            break;
          }
        }
        if (memory) memory[place] = v;
        s0 += NOISE.mass[j] * slope; q0 += NOISE.mass[j] * slope * slope;
        c0 += (NOISE.mass[j] * curve) / (1 + gamma * curve);
      }
      const mass = NODES.mass[i];
      s0 *= mass; c0 *= mass; q0 *= mass;
      mean[0] += s0 * x; mean[1] += s0;
      curved[0] += c0 * x * x; curved[1] += c0 * x; curved[2] += c0;
      square[0] += q0 * x * x; square[1] += q0 * x; square[2] += q0;
      flat += c0; level += q0;
    }
    return { mean, curved, square, flat, level };
  }

  /* Balanced risk of θ̂ ~ N(centre, covariance) under the truth. */
  function risk(s, centre, covariance, others) {
    let total = 0;
    for (const label of [0, 1]) {
      const mean = (label - 0.5) * s.distance;
      for (let i = 0; i < NODES.t.length; i++) {
        const x = mean + NODES.t[i], u = centre[0] * x + centre[1];
        const spread = covariance ? Math.sqrt(form(covariance.block, x) + others * covariance.across) : 0;
        for (let j = 0; j < NOISE.t.length; j++) {
          const v = u + spread * NOISE.t[j];
          total += 0.5 * NODES.mass[i] * NOISE.mass[j] * (softplus(v) - label * v);
        }
      }
    }
    return total;
  }

  /* The estimator's law under rows of some kinds: excess, its systematic part, whether it was found. */
  function solve(s, rows, start) {
    const others = s.dim - 1;
    const target = pseudoTarget(rows, start ? start.target : [s.distance, 0]);
    const fit = fitted(s, rows, target);
    let centre = start ? start.centre : target;
    let response = start ? start.response : null, covariance = start ? start.covariance : null;
    let means = start && start.means.length === rows.length ? start.means : rows.map(() => [0, 0]);
    const memories = rows.map(() => new Float64Array(NODES.t.length * NOISE.t.length));
    if (!start) {
      const curved = [0, 0, 0], square = [0, 0, 0];
      let flat = 0, level = 0;
      for (const kind of rows) {
        const m = moments(target, kind), total = kind.number * kind.size;
        for (let i = 0; i < 3; i++) {
          curved[i] += total * m.curved[i];
          square[i] += total * kind.size * m.square[i];
        }
        flat += total * m.curved[2];
        level += total * kind.size * m.square[2];
      }
      response = { block: inverse(curved), across: 1 / flat };
      covariance = { block: sandwich(response.block, square), across: level / (flat * flat) };
    }
    let converged = false, n = 0;
    for (; n < 200 && !converged; n++) {
      const curved = [0, 0, 0], square = [0, 0, 0], slope = [0, 0], found = [];
      let flat = 0, level = 0;
      rows.forEach((kind, k) => {
        const lift = times(response.block, means[k]).map((v) => kind.size * v);
        const without = [centre[0] + lift[0], centre[1] + lift[1]];
        const one = contribution(kind, without, covariance, response, others, memories[k]);
        const total = kind.number * kind.size, g = one.mean;
        found.push(g);
        const within = [one.square[0] - g[0] * g[0], one.square[1] - g[0] * g[1], one.square[2] - g[1] * g[1]];
        for (let i = 0; i < 3; i++) {
          curved[i] += total * one.curved[i];
          square[i] += total * kind.size * within[i];
        }
        for (let i = 0; i < 2; i++) slope[i] += total * g[i];
        flat += total * one.flat;
        level += total * kind.size * one.level;
      });
      if (fit) {
        for (let i = 0; i < 3; i++) square[i] += fit.block[i];
        level += fit.across;
      }
      const next = { block: inverse(curved), across: 1 / flat };
      const pull = pullOf(fit, next, others);
      const move = times(next.block, [slope[0] - pull[0], slope[1] - pull[1]]);
      const wider = { block: sandwich(next.block, square), across: level / (flat * flat) };
      const relative = (a, b) => Math.abs(a - b) / Math.abs(b);
      const change = Math.max(
        Math.hypot(...move) / Math.sqrt(wider.block[0] + wider.block[2]),
        relative(covariance.block[0], wider.block[0]), relative(covariance.block[2], wider.block[2]),
        others ? relative(covariance.across, wider.across) : 0, relative(response.block[0], next.block[0]));
      centre = [centre[0] - move[0], centre[1] - move[1]];
      [response, covariance, means] = [next, wider, found];
      if (!(covariance.block[0] < 1e6)) break;
      converged = change < 1e-5;
    }
    const best = risk(s, [s.distance, 0], null, others);
    return {
      excess: converged ? risk(s, centre, covariance, others) - best : NaN,
      bias: risk(s, target, null, others) - best,
      state: converged ? { target, centre, response, covariance, means } : null,
      iterations: n,
    };
  }

  return { few, kinds, weighted, solve, sigmoid, risk };
})();
