"""Operations in place that overwrite a tensor which is read again, between a convolution and a head (`small`)."""

from __future__ import annotations

import torch
from torch.nn import functional


def method(m, x):
    y = x.relu_()
    return x + 2 * y


def method_whose_result_is_ignored(m, x):
    x.mul_(2).sub_(0.1)
    return x


def functional_inplace(m, x):
    functional.relu(x, inplace=True)
    return x


def functional_inplace_by_position(m, x):
    functional.elu(x, 0.7, True)
    return x


def functional_underscore(m, x):
    functional.leaky_relu_(x, 0.2)
    torch.relu_(x)
    return x


def keywords_in_another_order(m, x):
    functional.silu(inplace=True, input=x)
    return x


def module(m, x):
    m.relu(x)
    return x


def module_twice(m, x):
    y = m.relu(x)
    z = m.relu(m.conv2(y))
    return x + y * z


def augmented(m, x):
    skip = x
    x += 1
    x *= 2
    x -= 0.5
    x /= 3
    x **= 2
    return x + skip


def augmented_in_a_list(m, x):
    parts = [x, m.conv2(x)]
    parts[0] += 1
    return x + parts[1]


def skip_read_afterwards(m, x):
    identity = x
    out = m.conv2(x)
    x.sub_(1)
    return functional.relu(out, inplace=True) + identity


def without_counterpart(m, x):
    y = m.conv2(x)
    x.copy_(x * y)
    y.zero_()
    return x + y


def out_argument(m, x):
    torch.mul(x, 3, out=x)
    return x


def shape_read_before(m, x):
    b, c, h, w = x.shape
    sizes = x.shape
    x.relu_()
    return x.view(b, c, h * w, 1) + x.reshape(sizes[0], sizes[1], -1, 1)


def own_argument(m, x):
    return x.add_(x)


def chain(m, x):
    y = x.clamp_(min=-0.5).add_(m.conv2(x))
    m.relu(y)
    return x.mul_(y)


def view_written_and_only_the_view_used(m, x):
    x = m.drop(x)
    x = x.flatten(2)
    x.relu_()
    return x[..., None]


IN_PLACE = [
    *(method, method_whose_result_is_ignored, functional_inplace, functional_inplace_by_position),
    *(functional_underscore, keywords_in_another_order, module, module_twice, augmented, augmented_in_a_list),
    *(skip_read_afterwards, without_counterpart, out_argument, shape_read_before, own_argument, chain),
    view_written_and_only_the_view_used,
]


def view_of_what_is_used(m, x):
    x.view(-1).relu_()
    return x


def used_through_a_view(m, x):
    y = x.transpose(2, 3)
    x.relu_()
    return y


def used_through_a_view_of_a_view(m, x):
    y = x.flatten(2).transpose(1, 2)
    x.relu_()
    return y.transpose(1, 2)[..., None]


def used_through_another_view(m, x):
    y, z = x.flatten(2), x.flatten(2)
    y.relu_()
    return z[..., None]


def slice_written(m, x):
    x[:, 1:].mul_(2)
    return x


def dropout_in_evaluation_mode_is_its_input(m, x):
    y = m.drop(x)
    y.relu_()
    return x + y


def functional_dropout_is_its_input(m, x):
    y = functional.dropout(x, 0.5, m.training)
    y += 1
    return x + y


def identity_is_its_input(m, x):
    y = m.same(x)
    y.relu_()
    return x + y


def flatten_module(m, x):
    y = m.flat(x)
    y.relu_()
    return x + y.view_as(x)


def conversion_to_its_own_type(m, x):
    y = x.float()
    y.relu_()
    return x + y


def data(m, x):
    x.data.clamp_(0)
    return x


VIEWS = [
    *(view_of_what_is_used, used_through_a_view, used_through_a_view_of_a_view, used_through_another_view),
    *(slice_written, dropout_in_evaluation_mode_is_its_input, functional_dropout_is_its_input, identity_is_its_input),
    *(flatten_module, conversion_to_its_own_type, data),
]
