"""The functions that a layer may name which records a call of TensorFlow's API: exact names, as `tf.NAME`.

tf_keras stores ``tf.nn.relu(x)`` on a symbolic tensor as a `TFOpLambda` layer with the function's name, and looks that
name up again when the model is loaded: any of 8,575 names, among them ``io.write_file``, ``load_op_library`` and
``keras.models.model_from_json``.  How the list was made: of all those names, the functions of the modules that hold
TensorFlow's mathematics were read one by one; struck out were those that take Python functions (but for the windows of
Fourier transforms, which a file can name no function for), read a file (the candidate samplers' `vocab_file`), print,
or take serialized data apart.
"""

from __future__ import annotations

__all__ = ["is_pure_function"]

_BOTH = """
    __operators__.add __operators__.eq __operators__.getitem __operators__.ne __operators__.ragged_getitem abs acos
    acosh add add_n approx_top_k argmax argmin argsort as_string asin asinh atan atan2 atanh batch_to_space bitcast
    bitwise.bitwise_and bitwise.bitwise_or bitwise.bitwise_xor bitwise.invert bitwise.left_shift bitwise.right_shift
    boolean_mask broadcast_dynamic_shape broadcast_static_shape broadcast_to cast clip_by_global_norm clip_by_norm
    clip_by_value complex concat constant conv conv2d_backprop_filter_v2 conv2d_backprop_input_v2 convert_to_tensor
    cos cosh cumsum divide dtypes.cast dtypes.complex dtypes.saturate_cast dynamic_partition dynamic_stitch
    edit_distance eig eigvals einsum ensure_shape equal exp expand_dims extract_volume_patches eye fftnd fill
    fingerprint floor gather gather_nd greater greater_equal histogram_fixed_width histogram_fixed_width_bins
    identity identity_n ifftnd image.adjust_brightness image.adjust_contrast image.adjust_gamma image.adjust_hue
    image.adjust_saturation image.central_crop image.combined_non_max_suppression image.convert_image_dtype
    image.crop_and_resize image.crop_to_bounding_box image.decode_and_crop_jpeg image.decode_jpeg image.decode_png
    image.draw_bounding_boxes image.extract_glimpse image.extract_jpeg_shape image.extract_patches
    image.flip_left_right image.flip_up_down image.generate_bounding_box_proposals image.grayscale_to_rgb
    image.hsv_to_rgb image.image_gradients image.is_jpeg image.non_max_suppression
    image.non_max_suppression_overlaps image.non_max_suppression_padded image.non_max_suppression_with_scores
    image.pad_to_bounding_box image.per_image_standardization image.psnr image.random_brightness
    image.random_contrast image.random_crop image.random_flip_left_right image.random_flip_up_down image.random_hue
    image.random_saturation image.resize image.resize_with_crop_or_pad image.resize_with_pad image.rgb_to_grayscale
    image.rgb_to_hsv image.rgb_to_yiq image.rgb_to_yuv image.rot90 image.sample_distorted_bounding_box
    image.sobel_edges image.ssim image.ssim_multiscale image.stateless_random_brightness
    image.stateless_random_contrast image.stateless_random_crop image.stateless_random_flip_left_right
    image.stateless_random_flip_up_down image.stateless_random_hue image.stateless_random_saturation
    image.stateless_sample_distorted_bounding_box image.total_variation image.transpose image.yiq_to_rgb
    image.yuv_to_rgb irfftnd less less_equal linalg.adjoint linalg.band_part linalg.banded_triangular_solve
    linalg.cholesky linalg.cholesky_solve linalg.cross linalg.det linalg.diag linalg.diag_part linalg.eig
    linalg.eigh linalg.eigh_tridiagonal linalg.eigvals linalg.eigvalsh linalg.einsum
    linalg.experimental.conjugate_gradient linalg.expm linalg.eye linalg.global_norm linalg.inv linalg.l2_normalize
    linalg.logdet linalg.logm linalg.lstsq linalg.lu linalg.lu_matrix_inverse linalg.lu_reconstruct linalg.lu_solve
    linalg.matmul linalg.matrix_rank linalg.matrix_transpose linalg.matvec linalg.norm linalg.normalize linalg.pinv
    linalg.qr linalg.set_diag linalg.slogdet linalg.solve linalg.sqrtm linalg.svd linalg.tensor_diag
    linalg.tensor_diag_part linalg.tensordot linalg.trace linalg.triangular_solve linalg.tridiagonal_matmul
    linalg.tridiagonal_solve linspace logical_and logical_not logical_or math.abs math.accumulate_n math.acos
    math.acosh math.add math.add_n math.angle math.approx_max_k math.approx_min_k math.argmax math.argmin math.asin
    math.asinh math.atan math.atan2 math.atanh math.bessel_i0 math.bessel_i0e math.bessel_i1 math.bessel_i1e
    math.betainc math.bincount math.ceil math.confusion_matrix math.conj math.cos math.cosh math.count_nonzero
    math.cumprod math.cumsum math.cumulative_logsumexp math.digamma math.divide math.divide_no_nan math.equal
    math.erf math.erfc math.erfcinv math.erfinv math.exp math.expm1 math.floor math.floordiv math.floormod
    math.greater math.greater_equal math.igamma math.igammac math.imag math.in_top_k math.invert_permutation
    math.is_finite math.is_inf math.is_nan math.is_non_decreasing math.is_strictly_increasing math.l2_normalize
    math.lbeta math.less math.less_equal math.lgamma math.log math.log1p math.log_sigmoid math.log_softmax
    math.logical_and math.logical_not math.logical_or math.logical_xor math.maximum math.minimum math.mod
    math.multiply math.multiply_no_nan math.ndtri math.negative math.nextafter math.not_equal math.polygamma
    math.polyval math.pow math.real math.reciprocal math.reciprocal_no_nan math.reduce_all math.reduce_any
    math.reduce_euclidean_norm math.reduce_logsumexp math.reduce_max math.reduce_mean math.reduce_min
    math.reduce_prod math.reduce_std math.reduce_sum math.reduce_variance math.rint math.round math.rsqrt
    math.scalar_mul math.segment_max math.segment_mean math.segment_min math.segment_prod math.segment_sum
    math.sigmoid math.sign math.sin math.sinh math.sobol_sample math.softmax math.softplus math.softsign
    math.special.bessel_i0 math.special.bessel_i0e math.special.bessel_i1 math.special.bessel_i1e
    math.special.bessel_j0 math.special.bessel_j1 math.special.bessel_k0 math.special.bessel_k0e
    math.special.bessel_k1 math.special.bessel_k1e math.special.bessel_y0 math.special.bessel_y1 math.special.dawsn
    math.special.expint math.special.fresnel_cos math.special.fresnel_sin math.special.spence math.sqrt math.square
    math.squared_difference math.subtract math.tan math.tanh math.top_k math.truediv math.unsorted_segment_max
    math.unsorted_segment_mean math.unsorted_segment_min math.unsorted_segment_prod math.unsorted_segment_sqrt_n
    math.unsorted_segment_sum math.xdivy math.xlog1py math.xlogy math.zero_fraction math.zeta matmul
    matrix_square_root maximum meshgrid minimum multiply negative nn.approx_max_k nn.approx_min_k nn.atrous_conv2d
    nn.atrous_conv2d_transpose nn.avg_pool nn.avg_pool1d nn.avg_pool2d nn.avg_pool3d
    nn.batch_norm_with_global_normalization nn.batch_normalization nn.bias_add nn.collapse_repeated
    nn.compute_accidental_hits nn.compute_average_loss nn.conv1d nn.conv1d_transpose nn.conv2d nn.conv2d_transpose
    nn.conv3d nn.conv3d_transpose nn.conv_transpose nn.convolution nn.crelu nn.ctc_beam_search_decoder
    nn.ctc_greedy_decoder nn.ctc_loss nn.ctc_unique_labels nn.depth_to_space nn.depthwise_conv2d
    nn.depthwise_conv2d_backprop_filter nn.depthwise_conv2d_backprop_input nn.dilation2d nn.dropout nn.elu
    nn.embedding_lookup nn.embedding_lookup_sparse nn.erosion2d nn.experimental.general_dropout
    nn.experimental.stateless_dropout nn.fractional_avg_pool nn.fractional_max_pool nn.gelu nn.in_top_k
    nn.isotonic_regression nn.l2_loss nn.l2_normalize nn.leaky_relu nn.local_response_normalization
    nn.log_poisson_loss nn.log_softmax nn.lrn nn.max_pool nn.max_pool1d nn.max_pool2d nn.max_pool3d
    nn.max_pool_with_argmax nn.moments nn.normalize_moments nn.pool nn.relu nn.relu6 nn.safe_embedding_lookup_sparse
    nn.scale_regularization_loss nn.selu nn.separable_conv2d nn.sigmoid nn.sigmoid_cross_entropy_with_logits nn.silu
    nn.softmax nn.softmax_cross_entropy_with_logits nn.softplus nn.softsign nn.space_to_batch nn.space_to_depth
    nn.sparse_softmax_cross_entropy_with_logits nn.sufficient_statistics nn.swish nn.tanh nn.top_k
    nn.weighted_cross_entropy_with_logits nn.weighted_moments nn.with_space_to_batch nn.zero_fraction norm not_equal
    one_hot ones ones_like pad parallel_stack pow quantization.dequantize quantization.fake_quant_with_min_max_args
    quantization.fake_quant_with_min_max_args_gradient quantization.fake_quant_with_min_max_vars
    quantization.fake_quant_with_min_max_vars_gradient quantization.fake_quant_with_min_max_vars_per_channel
    quantization.fake_quant_with_min_max_vars_per_channel_gradient quantization.quantize
    quantization.quantize_and_dequantize quantization.quantize_and_dequantize_v2 quantization.quantized_concat
    ragged.boolean_mask ragged.constant ragged.cross ragged.cross_hashed ragged.range
    ragged.row_splits_to_segment_ids ragged.segment_ids_to_row_splits ragged.stack ragged.stack_dynamic_partitions
    ragged_fill_empty_rows ragged_fill_empty_rows_grad random.categorical random.experimental.index_shuffle
    random.experimental.stateless_fold_in random.experimental.stateless_shuffle random.experimental.stateless_split
    random.fold_in random.gamma random.normal random.poisson random.shuffle random.split random.stateless_binomial
    random.stateless_categorical random.stateless_gamma random.stateless_normal
    random.stateless_parameterized_truncated_normal random.stateless_poisson random.stateless_truncated_normal
    random.stateless_uniform random.truncated_normal random.uniform random_index_shuffle range rank realdiv
    reduce_all reduce_any reduce_logsumexp reduce_max reduce_mean reduce_min reduce_prod reduce_sum repeat
    required_space_to_batch_paddings reshape reverse reverse_sequence rfftnd roll round saturate_cast scalar_mul
    scatter_nd searchsorted sequence_mask sets.difference sets.intersection sets.size sets.union shape shape_n
    sigmoid sign signal.dct signal.fft signal.fft2d signal.fft3d signal.fftnd signal.fftshift signal.frame
    signal.hamming_window signal.hann_window signal.idct signal.ifft signal.ifft2d signal.ifft3d signal.ifftnd
    signal.ifftshift signal.inverse_mdct signal.inverse_stft signal.irfft signal.irfft2d signal.irfft3d
    signal.irfftnd signal.kaiser_bessel_derived_window signal.kaiser_window signal.linear_to_mel_weight_matrix
    signal.mdct signal.mfccs_from_log_mel_spectrograms signal.overlap_and_add signal.rfft signal.rfft2d
    signal.rfft3d signal.rfftnd signal.stft signal.vorbis_window sin sinh size slice sort space_to_batch
    space_to_batch_nd sparse.add sparse.bincount sparse.concat sparse.cross sparse.cross_hashed sparse.expand_dims
    sparse.eye sparse.fill_empty_rows sparse.from_dense sparse.mask sparse.maximum sparse.minimum sparse.reduce_max
    sparse.reduce_sum sparse.reorder sparse.reset_shape sparse.reshape sparse.retain sparse.sampled_addmm
    sparse.segment_mean sparse.segment_sqrt_n sparse.segment_sum sparse.slice sparse.softmax
    sparse.sparse_dense_matmul sparse.split sparse.to_dense sparse.to_indicator sparse.transpose split sqrt square
    squeeze stack stop_gradient strided_slice strings.as_string strings.bytes_split strings.format strings.join
    strings.length strings.lower strings.ngrams strings.reduce_join strings.regex_full_match strings.regex_replace
    strings.split strings.strip strings.substr strings.to_hash_bucket strings.to_hash_bucket_fast
    strings.to_hash_bucket_strong strings.to_number strings.unicode_decode strings.unicode_decode_with_offsets
    strings.unicode_encode strings.unicode_script strings.unicode_split strings.unicode_split_with_offsets
    strings.unicode_transcode strings.unsorted_segment_join strings.upper subtract tan tanh tensor_scatter_nd_add
    tensor_scatter_nd_max tensor_scatter_nd_min tensor_scatter_nd_sub tensor_scatter_nd_update tensordot tile
    transpose truediv truncatediv truncatemod unique unique_with_counts unravel_index unstack where zeros zeros_like
"""

_VERSION_1 = """
    accumulate_n angle arg_max arg_min batch_gather batch_to_space_nd betainc bincount ceil cholesky cholesky_solve
    clip_by_average_norm confusion_matrix conj count_nonzero cross cumprod depth_to_space dequantize diag diag_part
    digamma div div_no_nan dtypes.as_string erf erfc expm1 extract_image_patches fake_quant_with_min_max_args
    fake_quant_with_min_max_args_gradient fake_quant_with_min_max_vars fake_quant_with_min_max_vars_gradient
    fake_quant_with_min_max_vars_per_channel fake_quant_with_min_max_vars_per_channel_gradient fft fft2d fft3d
    floor_div floordiv floormod global_norm ifft ifft2d ifft3d igamma igammac imag image.extract_image_patches
    image.resize_area image.resize_bicubic image.resize_bilinear image.resize_image_with_crop_or_pad
    image.resize_image_with_pad image.resize_images image.resize_nearest_neighbor image.transpose_image
    invert_permutation is_finite is_inf is_nan is_non_decreasing is_numeric_tensor is_strictly_increasing lbeta
    lgamma lin_space linalg.transpose log log1p log_sigmoid logical_xor manip.batch_to_space_nd manip.gather_nd
    manip.reshape manip.reverse manip.roll manip.scatter_nd manip.space_to_batch_nd manip.tile matrix_band_part
    matrix_determinant matrix_diag matrix_diag_part matrix_inverse matrix_set_diag matrix_solve matrix_solve_ls
    matrix_transpose matrix_triangular_solve mod multinomial nn.avg_pool_v2 nn.conv2d_backprop_filter
    nn.conv2d_backprop_input nn.conv3d_backprop_filter nn.conv3d_backprop_filter_v2 nn.ctc_beam_search_decoder_v2
    nn.ctc_loss_v2 nn.depthwise_conv2d_native nn.depthwise_conv2d_native_backprop_filter
    nn.depthwise_conv2d_native_backprop_input nn.fused_batch_norm nn.max_pool_v2 nn.quantized_avg_pool
    nn.quantized_conv2d nn.quantized_max_pool nn.quantized_relu_x nn.relu_layer
    nn.softmax_cross_entropy_with_logits_v2 nn.xw_plus_b polygamma qr quantize quantize_v2 quantized_concat
    random.multinomial random.stateless_multinomial random_crop random_gamma random_normal random_poisson
    random_shuffle random_uniform real reciprocal reduce_join regex_replace reverse_v2 rint rsqrt segment_max
    segment_mean segment_min segment_prod segment_sum self_adjoint_eig self_adjoint_eigvals setdiff1d
    sets.set_difference sets.set_intersection sets.set_size sets.set_union space_to_depth sparse.matmul sparse.merge
    sparse.reduce_max_sparse sparse.reduce_sum_sparse sparse_add sparse_concat sparse_fill_empty_rows sparse_mask
    sparse_matmul sparse_maximum sparse_merge sparse_minimum sparse_reduce_max sparse_reduce_max_sparse
    sparse_reduce_sum sparse_reduce_sum_sparse sparse_reorder sparse_reset_shape sparse_reshape sparse_retain
    sparse_segment_mean sparse_segment_sqrt_n sparse_segment_sum sparse_slice sparse_softmax sparse_split
    sparse_to_dense sparse_to_indicator sparse_transpose spectral.dct spectral.fft spectral.fft2d spectral.fft3d
    spectral.idct spectral.ifft spectral.ifft2d spectral.ifft3d spectral.irfft spectral.irfft2d spectral.irfft3d
    spectral.rfft spectral.rfft2d spectral.rfft3d squared_difference string_join string_split string_strip
    string_to_hash_bucket string_to_hash_bucket_fast string_to_hash_bucket_strong string_to_number substr svd
    tensor_scatter_add tensor_scatter_sub tensor_scatter_update to_bfloat16 to_complex128 to_complex64 to_double
    to_float to_int32 to_int64 trace truncated_normal unsorted_segment_max unsorted_segment_mean
    unsorted_segment_min unsorted_segment_prod unsorted_segment_sqrt_n unsorted_segment_sum where_v2 zeta
"""

_KERAS_BACKEND = """
    abs all any arange argmax argmin batch_dot batch_flatten batch_normalization bias_add binary_crossentropy cast
    categorical_crossentropy clip concatenate constant conv1d conv2d conv2d_transpose conv3d cos cumprod cumsum
    depthwise_conv2d dot elu equal exp expand_dims eye flatten gather greater greater_equal hard_sigmoid
    l2_normalize less less_equal log max maximum mean min minimum not_equal one_hot ones_like permute_dimensions
    pool2d pool3d pow prod random_normal random_uniform relu repeat repeat_elements reshape resize_images
    resize_volumes reverse round separable_conv2d shape sigmoid sign sin softmax softplus softsign
    spatial_2d_padding spatial_3d_padding sqrt square squeeze stack std stop_gradient sum tanh temporal_padding tile
    transpose truncated_normal var zeros_like
"""

_KERAS_ACTIVATIONS = """
    elu exponential gelu hard_sigmoid linear mish relu selu sigmoid softmax softplus softsign swish tanh
"""

_V1 = "compat.v1."
_NAMES = frozenset(
    [
        *_BOTH.split(),
        *(_V1 + name for name in (*_BOTH.split(), *_VERSION_1.split())),
        *(f"keras.backend.{name}" for name in _KERAS_BACKEND.split()),
        *(f"keras.activations.{name}" for name in _KERAS_ACTIVATIONS.split()),
    ]
)


def is_pure_function(symbol: object) -> bool:
    """Whether ``tf.SYMBOL`` only computes on tensors."""
    return isinstance(symbol, str) and symbol in _NAMES
