import numpy as np
import pytest
from scipy.optimize import linprog

from tincture.quantization.transport import cheapest_transport


@pytest.mark.parametrize("shape", [(1, 4), (6, 6), (5, 9)])
def test_no_linear_program_finds_a_cheaper_plan(rng, shape):
    n, m = shape
    supply, demand = rng.multinomial(200, np.ones(n) / n), rng.multinomial(200, np.ones(m) / m)
    demand[0] += demand[-1]
    demand[-1] = 0
    costs = rng.random(shape)
    leaves = np.kron(np.eye(n), np.ones(m))  # [n, n m]
    arrives = np.kron(np.ones(n), np.eye(m))  # [m, n m]
    plan = linprog(costs.ravel(), A_eq=np.vstack([leaves, arrives]), b_eq=np.concatenate([supply, demand]))
    assert cheapest_transport(costs, supply, demand) == pytest.approx(plan.fun, rel=1e-9)
